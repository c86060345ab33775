"""The table of a run of the fault tests: which fault each test is about, what it measured, and whether it held.

A test names its fault by `@pytest.mark.row(number)`, and records what it measured by the fixture `measured`.
`pytest --reliability FILE` writes the table between the two marks of that file, and fails when a test of a row
did not run, or failed. Row 20 is the soak's, which writes it by `write_soak`.
"""

import html
import os
import platform
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support import kafka

BEGIN = "<!-- the last run of `make faults`: begin -->"
END = "<!-- end -->"
SOAK_BEGIN = "<!-- the last run of `make soak`: begin -->"
SOAK_END = "<!-- end of the soak -->"
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
    7: ("request errors, leader and coordinator moves", "retried with jitter; never resets to latest"),
    8: (
        "each event 1 to 5 times, shuffled within and across topics",
        "difference 0; consumed = applied + waiting + superseded + duplicate + rejected",
    ),
    9: (
        "corrections, deletions, queue or rating changed, days late",
        "old cell left, new cell entered; never negative",
    ),
    10: ("malformed events of every kind", "one dead letter each, exact reason, worker alive"),
    11: ("oversized payload and names, 1970 and year 9999, clock stepped back", "rejected or ordered as documented"),
    12: ("poison flood", "circuit breaker pauses within 1,000 events, offsets not advanced, alert, no restart loop"),
    34: (
        "restart after a poison flood: half open",
        "what it had seen becomes dead letters, a new flood or another worker opens it again, no event lost",
    ),
    13: ("hostile names", "round trip through both parsers; no duplicate series; page safe"),
    14: ("100,000 queues in 60 s", "series capped, memory bounded, the rest counted, alert"),
    15: (
        "slow scraper, 20 parallel scrapes, reader that never reads",
        "p99 scrape at most 250 ms at 10,000 series; slow readers dropped",
    ),
    16: ("disk full, read-only, store locked 60 s", "last good revision served; processing goes on; heals itself"),
    17: (
        "ledger lost, truncated, compacted, other partition count, newer version",
        "named start-up error or rebuild; never a silent zero",
    ),
    18: ("frozen commit, lost membership", "liveness fails within 60 s, alert, restart heals"),
    19: ("audit: one partition re-folded per minute", "mismatch gauge 0; injected corruption found"),
    21: (
        "ingest kill -9 under load, 50 kills",
        "every acknowledged event counted; repeated by its sender, every event counted once",
    ),
    22: (
        "broker of ingest killed or stopped under load, 50 times; away for 30 s",
        "as row 21; 503 with Retry-After meanwhile, not ready, resumed within 15 s of return",
    ),
    23: ("SIGTERM of ingest under load", "requests in flight answered, exit 0, nothing acknowledged lost"),
    24: (
        "ingest: slow clients, 300 connections, oversized bodies, gzip and zstd bombs",
        "memory bounded; other senders served meanwhile",
    ),
    25: (
        "ingest kill -9 while webhooks of a tool create, edit and delete records",
        "what stands equals the tool's store: nothing lost, nothing revived",
    ),
    26: ("owner index of sources lost at a kill", "made again before anything is taken; as row 25"),
    27: (
        "records whose bytes cannot be read: headers that are not UTF-8, bombs, batches that no client should send",
        "each is read, passed over or one dead letter; difference 0; memory bounded",
    ),
    28: (
        "wrong checksum of one batch on the broker's disk",
        "that partition is in quarantine, the others go on; difference 0 after the repair",
    ),
    29: (
        "a null value, garbage, or a tally with wrong numbers on ledger or tallies",
        "repaired from the rows, or that partition is in quarantine and the others go on; then difference 0",
    ),
    30: (
        "a tally of a position far ahead of the ledger",
        "that partition is in quarantine; accepted under a new ledger id, without filling; difference 0",
    ),
    31: (
        "two views on one store",
        "the second is refused by name; one that writes all the same never replaces newer counts",
    ),
    32: (
        "ledger and tallies written by somebody else while a view runs",
        "the view never ends; the last state is served, stale with the reason; it heals when a worker goes on",
    ),
    33: (
        "the view's store damaged; its right to read taken away while it runs",
        "the store is set aside and read again, its history kept; the last state is served, stale with the reason",
    ),
    43: ("consumer group reset in any direction, or deleted", "difference 0; the log names what was moved past"),
    39: (
        "more judges of one metric than a record holds",
        "counted in parts that fit, equal to a recount; a change writes its part only; restored without a rewrite",
    ),
    40: (
        "a topic takes only small records",
        "batches and dead letters fit; a row that does not ends the worker with an exit code that names it, once",
    ),
    44: (
        "source topic made again or widened under a running worker",
        "ended within a minute, exit code 85 or 82; after a restart difference 0",
    ),
    35: (
        "worker that ends at each start, at the same record",
        "stale within 15 s, with the reason; no restart makes it fresh; live again once the cause is gone",
    ),
    36: (
        "producer that leaves a transaction open",
        "view stale within 15 s and worker not ready, with the reason; live again once it ends",
    ),
    37: (
        "clock of a worker or of the view an hour ahead or late",
        "stale within 15 s, with the reason; a worker that dies is seen within 15 s",
    ),
    38: (
        "brokers that refuse writes: too few replicas in sync",
        "worker not ready and view stale within 15 s of the first refused write, with the reason",
    ),
    41: (
        "strangers hold connections at every listener: silent, half a head, all places of an address",
        "health answers within 5 s, memory bounded, other requests served; closed after 10 s",
    ),
    42: (
        "60 readers who do not read; bodies on GET and HEAD, lengths that contradict each other",
        "memory bounded, readers dropped; refused and closed, never read as a request, one log line per kind",
    ),
    45: (
        "store of waiting evaluations locked by another process",
        "left alone, with the reason; counts go on without it; what it lacks is read again; difference 0",
    ),
    46: (
        "its disk full, nearly full, read-only, or failing with input and output errors",
        "what was flushed is kept; opened again once the disk works; what it lacks is read again; difference 0",
    ),
    47: ("its directory wiped, or any file of it damaged", "begun empty, read again from the topic; difference 0"),
    48: ("kill -9 of a worker at any step, also while it flushes", "what was not flushed is read again; difference 0"),
    49: ("worker and its disk lost", "another one takes over and reads the topic again; difference 0"),
    50: ("worker with a store paused past its session", "its disk is true, and counts for nothing new; difference 0"),
    51: ("neither disk nor topic has what waited", "log, metric and markers report it; the rest is exact"),
    52: (
        "evaluations topic deleted and made again, or cut off, also while the disk is away",
        "no offset of the old one counts as read; difference 0",
    ),
    53: (
        "changed settings: `metrics`, `wait_days`, number of partitions",
        "decided once; spans of another width are used; difference 0",
    ),
    54: ("`up` with a store stopped, or its processes killed", "what waited is compared afterwards; difference 0"),
    55: ("ledger of release 0.1.0, also under a running older view", "goes on with its rows; only new ones wait"),
}
"""Fault and what must hold, by row."""
SOAK = ("2 h soak of mixed faults", "difference 0 at every quiet point; memory slope about 0, descriptors flat")
"""Row 20."""

_Measure = Callable[..., None]


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> _Measure:
    """`measured("text", seconds)`: note a measurement for the table; a number has two decimals."""

    def note(text: str, number: float | None = None, unit: str = "s") -> None:
        record_property(MEASURED, text if number is None else f"{text} {number:.2f}".replace(".00", "") + f" {unit}")

    return note


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability", type=Path, help="write the table of the fault tests that ran into this file")


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--reliability"):
        config.pluginmanager.register(Table(path), "reliability-table")


@dataclass
class Ran:
    """One test of a row: how it ended, and what it measured."""

    test: str
    outcome: str
    seconds: float
    measured: list[str]


# pytest keeps its plugins in sets.
@dataclass(eq=False)
class Table:
    """Collects the tests that ran."""

    path: Path
    rows: dict[str, list[int]] = field(default_factory=dict)
    ran: dict[int, list[Ran]] = field(default_factory=lambda: defaultdict(list))
    began: float = field(default_factory=time.monotonic)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self.rows[item.nodeid] = [row for mark in item.iter_markers("row") for row in mark.args]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        measured = [str(text) for name, text in report.user_properties if name == MEASURED]
        for row in self.rows.get(report.nodeid, ()):
            self.ran[row].append(Ran(report.nodeid, report.outcome, report.duration, measured))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.INTERRUPTED or session.config.option.collectonly:
            return
        _write(self.path, BEGIN, END, self.lines())
        if self.lacking():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("faults")
        for line in self.lines():
            terminalreporter.line(line)
        if lacking := self.lacking():
            terminalreporter.section("NOT EVERY ROW HOLDS", red=True, bold=True)
            for row, why in lacking.items():
                terminalreporter.line(f"row {row}, {ROWS[row][0]}: {why}", red=True)

    def lacking(self) -> dict[int, str]:
        """Rows with a test that did not run or failed, and the reason."""
        reasons: dict[int, str] = {}
        for row in ROWS:
            ran = self.ran.get(row, [])
            collected = {test for test, rows in self.rows.items() if row in rows}
            if not collected:
                reasons[row] = "it has no test"
            elif unseen := collected - {each.test for each in ran}:
                reasons[row] = f"did not run: {', '.join(sorted(unseen))}"
            elif bad := [f"{each.test} {each.outcome}" for each in ran if each.outcome != "passed"]:
                reasons[row] = "; ".join(bad)
        return reasons

    def lines(self) -> Iterable[str]:
        """The table, and the machine of the measurement."""
        minutes = (time.monotonic() - self.began) / 60
        yield from machine()
        yield ""
        yield (
            f"One local broker unless stated otherwise, {sum(len(ran) for ran in self.ran.values())} results in "
            f"{minutes:.0f} minutes. Times are of this machine, and include the start of interpreters."
        )
        yield ""
        yield "| # | fault | must hold | measured | where |"
        yield "| --- | --- | --- | --- | --- |"
        for row, (fault, holds) in ROWS.items():
            ran = self.ran.get(row, [])
            results = _results(ran) or "**NOT RUN**"
            where = "<br>".join(dict.fromkeys(_where(each.test) for each in ran))
            yield f"| {row} | {fault} | {holds} | {results} | {where} |"


def machine() -> list[str]:
    """Date, machine and versions of programs that matter to the measurements."""
    processor = re.search(r"^model name\s*: (.*)$", _text("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    parts = [
        f"{datetime.now(UTC).date().isoformat()}: {os.cpu_count()} cores{f' ({processor[1]})' if processor else ''}",
        f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else "",
        f"{platform.system()} {platform.machine()}",
        f"Apache Kafka {kafka.version()}",
        f"Python {platform.python_version()}",
        f"aiokafka {version('aiokafka')}",
    ]
    return [", ".join(filter(None, parts)) + "."]


def write_soak(path: Path, measured: Iterable[str]) -> None:
    """Put row 20 into this file."""
    row = f"| 20 | {SOAK[0]} | {SOAK[1]} | {'<br>'.join(measured)} | `tests/faults/soak.py` |"
    table = ["| # | fault | must hold | measured | where |", "| --- | --- | --- | --- | --- |", row]
    _write(path, SOAK_BEGIN, SOAK_END, [*machine(), "", *table])


def _write(path: Path, begin: str, end: str, lines: Iterable[str]) -> None:
    before, begun, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    assert begun and closed, f"{path} has no place for the table: {begin} {end}"
    table = "\n".join(lines)
    path.write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}", encoding="utf-8")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _results(ran: Iterable[Ran]) -> str:
    """The line of each test; equal lines once."""
    results = Counter(map(_result, ran))
    return "<br>".join(f"{text}, {times} times" if times > 1 else text for text, times in results.items())


def _result(ran: Ran) -> str:
    name = re.sub(r"^test_(row_\d+_)?", "", ran.test.partition("::")[2]).replace("_", " ")
    # The parameter of some tests is a hostile text.
    name = re.sub(r"\[.*[^\w \-.\]].*\]$", "", name)
    if ran.outcome != "passed":
        return f"**{ran.outcome.upper()}**: {name}"
    measured = f" ({'; '.join(ran.measured)})" if ran.measured else ""
    return html.escape(f"held: {name}{measured}", quote=False).replace("|", "/")


def _where(test: str) -> str:
    return f"`{test.partition('::')[0]}`"
