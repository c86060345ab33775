"""`python -m bench`: what operators and readers notice, as Markdown tables.

Memory, restore, freshness, scrapes, the view's rates, requests to ingest, and the page. On a real Apache Kafka with
real processes, some minutes. What the load must come to is asserted: rows written and replayed, comparisons served,
events acknowledged, the rate of what flows.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from bench import page
from bench.end_to_end import rows
from bench.end_to_end.report import logged, machine, table, write
from bench.end_to_end.site import Row
from bench.ingest import rows as ingest
from tests.support import kafka
from tests.support.kafka import Kafka

_TABLES: Final[Mapping[str, Callable[[Kafka, Path, bool], Iterator[Row]]]] = {
    "end to end": lambda broker, directory, small: rows.parts(broker, directory, rows.SMALL if small else rows.Sizes()),
    "ingest": lambda broker, directory, small: ingest.parts(
        broker, directory, ingest.SMALL if small else ingest.Sizes()
    ),
    "page": lambda _, directory, small: page.parts(directory, page.SMALL if small else page.Sizes()),
}


def main() -> None:
    """Measure, print, and update the page with `--write`."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--small", action="store_true", help="a smoke test of half a minute, without meaningful numbers"
    )
    parser.add_argument("--only", choices=_TABLES, help="measure the rows of one table")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced, between their markers")
    options = parser.parse_args()
    if reason := kafka.missing():
        raise SystemExit(f"Apache Kafka cannot run here: {reason}")
    for name, parts in _TABLES.items():
        if options.only not in (None, name):
            continue
        with Kafka(heap="1g", brief=False) as broker, tempfile.TemporaryDirectory() as directory:
            content = f"{machine()}\n\n{table(logged(parts(broker, Path(directory), options.small)))}"
        print(content)
        if options.write:
            write(options.write, name, content)


if __name__ == "__main__":
    main()
