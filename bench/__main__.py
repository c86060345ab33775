"""`python -m bench`: memory, restore, freshness, scrapes and the view's rates, as a Markdown table.

On a real Apache Kafka with real processes, some minutes. What the load must come to is asserted: rows written and
replayed, comparisons served, the rate of what flows.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.end_to_end import rows
from bench.end_to_end.report import machine, table, write
from bench.end_to_end.site import Row
from tests.support import kafka
from tests.support.kafka import Kafka


def _logged(measured: Iterator[Row]) -> Iterator[Row]:
    for row in measured:
        print(f"{row.what}: {row.measured}", file=sys.stderr, flush=True)
        yield row


def main() -> None:
    """Measure, print, and update the page with `--write`."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--small", action="store_true", help="a smoke test of half a minute, without meaningful numbers"
    )
    parser.add_argument("--write", type=Path, help="page whose table is replaced, between its markers")
    options = parser.parse_args()
    if reason := kafka.missing():
        raise SystemExit(f"Apache Kafka cannot run here: {reason}")
    sizes = rows.SMALL if options.small else rows.Sizes()
    with Kafka(heap="1g", brief=False) as broker, tempfile.TemporaryDirectory() as directory:
        content = f"{machine()}\n\n{table(_logged(rows.parts(broker, Path(directory), sizes)))}"
    print(content)
    if options.write:
        write(options.write, content)


if __name__ == "__main__":
    main()
