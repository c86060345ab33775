"""Tables, and their places in docs/performance.md."""

import os
import platform
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench.end_to_end.site import Row

_BEGIN: Final = "<!-- {}: made by `python -m bench` -->"
_END: Final = "<!-- {}: end -->"
_PACKAGES: Final = ("aiokafka", "faust-streaming", "msgspec", "orjson", "uvicorn")


def machine() -> str:
    """A paragraph with the date, the machine and the versions."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{datetime.now(UTC).date()}, {cpu.partition(':')[2].strip() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, Apache Kafka 4.1.1, {packages}. One run; broker, load and all processes "
        "share these cores."
    )


def logged(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, each of which is printed to standard error as soon as it is measured."""
    for row in rows:
        print(f"{row.what}: {row.measured}", file=sys.stderr, flush=True)
        yield row


def table(rows: Iterable[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| what | measured | target | |", "| --- | --- | --- | --- |"]
    for row in rows:
        met = "" if row.met is None else "met" if row.met else "**not met**"
        lines.append(f"| {row.what} | {row.measured} | {row.target} | {met} |")
    return "\n".join(lines)


def write(page: Path, name: str, content: str) -> None:
    """Put a table between its markers of the page. Raises ValueError when a marker is missing."""
    opening, closing = _BEGIN.format(name), _END.format(name)
    before, begin, rest = page.read_text().partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the table: {opening} ... {closing}")
    page.write_text(f"{before}{opening}\n\n{content}\n\n{closing}{after}")
