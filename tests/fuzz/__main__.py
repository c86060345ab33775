"""Run fuzzers: `python -m tests.fuzz events records --seconds 20`; all of them without a name.

Each runs in a process of its own, as many together as there are processors. A finding is an exception with the input.
A fuzzer whose inputs are missing states it, and fails where `EVAL_ALIGNMENT_REQUIRE` names them.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module
from typing import Final

from tests.support.requirements import Requirements
from tests.support.tree import SHARED

FUZZERS: Final = ("events", "http", "logs", "openapi", "payloads", "records")
"""Modules of this package. `run` of each runs for a number of seconds, returns the number of inputs, and raises at a
finding.
"""


def fuzz(name: str, seconds: float) -> int:
    """Run a fuzzer; returns the number of inputs."""
    count: int = import_module(f"tests.fuzz.{name}").run(seconds)
    return count


def main() -> int:
    """Run the chosen fuzzers; returns 1 if one has a finding, or did not run though it is required."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(FUZZERS)}")
    parser.add_argument("--seconds", type=float, default=600.0, help="time of each (600)")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(FUZZERS):
        parser.error(f"no fuzzer {', '.join(sorted(unknown))}: there are {', '.join(FUZZERS)}")
    names = list(chosen.names or FUZZERS)
    failed = 0
    if "payloads" in names and not (SHARED / "sources").is_dir():
        names.remove("payloads")
        failed += "sources" in Requirements.from_environment().required
        print("payloads: not run, ../shared/data/sources is not found next to the repository", flush=True)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(fuzz, name, chosen.seconds): name for name in names}
        for done in as_completed(running):
            if (finding := done.exception()) is not None:
                failed += 1
                notes = getattr(finding, "__notes__", ())
                print(f"{running[done]}: {type(finding).__name__}: {finding}", *notes, sep="\n", flush=True)
            elif inputs := done.result():
                print(f"{running[done]}: {inputs:,} inputs, no finding", flush=True)
            else:
                failed += 1
                print(f"{running[done]}: no inputs in {chosen.seconds:g} s, give it more", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
