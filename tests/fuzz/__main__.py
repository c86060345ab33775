"""Run one fuzzer: `python -m tests.fuzz records --seconds 20`."""

import argparse
from collections.abc import Callable, Mapping
from typing import Final

from tests.fuzz import http, logs, records

FUZZERS: Final[Mapping[str, Callable[[float], int]]] = {
    "http": http.run,
    "logs": logs.run,
    "records": records.run,
}
"""Each runs for a number of seconds, returns the number of inputs, and raises at a finding."""


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("name", choices=FUZZERS)
    parser.add_argument("--seconds", type=float, default=600.0)
    chosen = parser.parse_args()
    print(f"{chosen.name}: {FUZZERS[chosen.name](chosen.seconds):,} inputs, no finding")


if __name__ == "__main__":
    main()
