"""The table, and its place in docs/performance.md."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench.end_to_end.site import Row

BEGIN: Final = "<!-- end to end: made by `python -m bench` -->"
END: Final = "<!-- end to end: end -->"
_PACKAGES: Final = ("aiokafka", "faust-streaming", "msgspec", "orjson", "uvicorn")


def machine() -> str:
    """A paragraph with the date, the machine and the versions."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{datetime.now(UTC).date()}, {cpu.partition(':')[2].strip() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, Apache Kafka 4.1.1, {packages}. One run; worker, view, broker and the "
        "measuring process share these cores."
    )


def table(rows: Iterable[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| what | measured | target | |", "| --- | --- | --- | --- |"]
    for row in rows:
        met = "" if row.met is None else "met" if row.met else "**not met**"
        lines.append(f"| {row.what} | {row.measured} | {row.target} | {met} |")
    return "\n".join(lines)


def write(page: Path, content: str) -> None:
    """Put the table between the markers of the page. Raises ValueError when a marker is missing."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the table: {BEGIN} ... {END}")
    page.write_text(f"{before}{BEGIN}\n\n{content}\n\n{END}{after}")
