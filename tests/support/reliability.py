"""The table of a run of the fault tests: which fault each test is about, what it measured, and whether it held.

A test says its fault by `@pytest.mark.row(number)`, and what it measured by the fixture `measured`.
`pytest --reliability FILE` writes the table between the two marks of that file.
"""

import os
import platform
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

BEGIN = "<!-- the last run of `make faults`: begin -->"
END = "<!-- end -->"
MEASURED = "measured: "

ROWS: Mapping[int, tuple[str, str]] = {
    1: ("worker kill -9 mid-batch, 20 kills of 2 workers", "difference 0; processing again within 15 s"),
    2: ("SIGTERM under load", "drains within 10 s, exit 0, redelivery 0"),
    3: ("kill at every step of restore and checkpoint", "difference 0 at all points"),
    4: ("worker paused past its session, then resumed", "its writes are found and repaired, it exits; difference 0"),
    5: ("1 to 3 to 2 to 5 to 1 workers under load", "difference 0, no partition owned twice in what is published"),
    6: (
        "broker down 30 s, killed, restarted",
        "no loss, resumed within 15 s of return; worker not ready, view 200 and marked stale meanwhile",
    ),
    7: ("request errors, leader and coordinator moves", "retried; never resets to latest"),
    8: (
        "each event 1 to 5 times, shuffled within and across topics",
        "difference 0; consumed = applied + stale + duplicate + rejected",
    ),
    9: (
        "corrections, deletions, queue or rating changed, days late",
        "old cell left, new cell entered; never negative",
    ),
    10: ("malformed events of every kind", "one dead letter each, exact reason, worker alive"),
    11: ("oversized payload and names, 1970 and year 9999, clock stepped back", "rejected or ordered as documented"),
    12: ("poison flood", "fuse pauses within 1,000 events, offsets not advanced, no restart loop"),
    13: ("hostile names", "round trip through both parsers; no duplicate series"),
    14: ("100,000 queues in 60 s", "series capped, memory bounded, the rest counted"),
    15: (
        "slow scraper, 20 parallel scrapes, reader that never reads",
        "p99 scrape at most 250 ms at 10,000 series; slow readers dropped",
    ),
    16: ("disk full, read-only, store locked 60 s", "last good revision served; processing goes on; heals itself"),
    17: (
        "ledger lost, truncated, compacted, other partition count, newer version",
        "named start-up error or rebuild; never a silent zero",
    ),
    18: ("frozen commit, lost membership", "liveness fails within 60 s, restart heals"),
    19: ("audit: one partition re-folded per minute", "mismatch gauge 0; injected corruption found"),
}
"""Fault and what must hold, by row."""

_Measure = Callable[..., None]


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> _Measure:
    """`measured("text", seconds)`: something for the table; a number is given to two digits behind the point."""

    def note(text: str, number: float | None = None) -> None:
        record_property(MEASURED, text if number is None else f"{text} {number:.2f}".replace(".00", ""))

    return note


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability", type=Path, help="write the table of the fault tests that ran into this file")


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--reliability"):
        config.pluginmanager.register(_Table(path), "reliability-table")


@dataclass
class _Ran:
    test: str
    outcome: str
    seconds: float
    measured: list[str]


@dataclass
class _Table:
    """Collects what ran."""

    path: Path
    rows: dict[str, list[int]] = field(default_factory=dict)
    ran: dict[int, list[_Ran]] = field(default_factory=lambda: defaultdict(list))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self.rows[item.nodeid] = [row for mark in item.iter_markers("row") for row in mark.args]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        told = [str(text) for name, text in report.user_properties if name == MEASURED]
        for row in self.rows.get(report.nodeid, ()):
            self.ran[row].append(_Ran(report.nodeid, report.outcome, report.duration, told))

    def pytest_sessionfinish(self) -> None:
        before, _, rest = self.path.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        made = "\n".join(self._lines())
        self.path.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", encoding="utf-8")

    def _lines(self) -> Iterable[str]:
        yield (
            f"{datetime.now(UTC).date().isoformat()}, {os.cpu_count()} cores, {platform.machine()}, Python "
            f"{platform.python_version()}, aiokafka {version('aiokafka')}, one local Apache Kafka unless it says "
            "otherwise. Times are of this machine, and include the start of interpreters."
        )
        yield ""
        yield "| # | fault | must hold | measured | where |"
        yield "| --- | --- | --- | --- | --- |"
        for row, (fault, holds) in ROWS.items():
            ran = self.ran.get(row, [])
            told = "<br>".join(_result(each) for each in ran) or "not run"
            where = "<br>".join(dict.fromkeys(_where(each.test) for each in ran))
            yield f"| {row} | {fault} | {holds} | {told} | {where} |"


def _result(ran: _Ran) -> str:
    name = re.sub(r"^test_(row_\d+_)?", "", ran.test.partition("::")[2]).replace("_", " ").replace("|", "/")
    if ran.outcome != "passed":
        return f"**{ran.outcome.upper()}**: {name}"
    if not ran.measured:
        return f"held: {name}"
    return f"held: {name} ({'; '.join(ran.measured)})"


def _where(test: str) -> str:
    return f"`{test.partition('::')[0]}`"
