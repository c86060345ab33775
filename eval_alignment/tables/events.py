"""The events of tables in order, with everything that became none: named or counted."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aggregator.facts import DEFAULT_CRITERION
from eval_alignment.tables.labels import quoted
from eval_alignment.tables.mapping import ColumnRules, ComparedSide, EmptyCell, MappedEvent, UnreadableCell, map_row
from eval_alignment.tables.roles import TableRules
from sources.tables import TableRow
from streams.events.decoder import Kind

_LINE: Final = json.JSONEncoder(separators=(",", ":")).encode
"""Writes an event in ASCII: escapes keep half of a surrogate pair, which UTF-8 has not."""


class RowEvent(NamedTuple):
    """An event of a row, as a line of NDJSON."""

    file: str
    place: str
    kind: Kind
    value: bytes

    @property
    def where(self) -> str:
        """File and row, as messages begin."""
        return f"{self.file}: {self.place}"


@dataclass(slots=True)
class RowCounts:
    """What was read from tables."""

    rows: int = 0
    blank: int = 0
    """Rows without any value."""
    annotations: int = 0
    """Accepted labels."""
    evaluations: int = 0
    """Accepted results of metrics."""
    not_labelled: int = 0
    """Rows whose label is empty."""
    not_judged: int = 0
    """Empty results of metrics."""
    repeated: int = 0
    """Labels and results that an earlier row has already."""
    invalid: int = 0
    """Rows and cells that could not be read."""
    pairs: dict[str, set[str]] = field(default_factory=dict)
    """Metrics that a row has together with a label, by criterion."""

    @property
    def skipped(self) -> int:
        """Cells that became no event on purpose."""
        return self.not_labelled + self.not_judged + self.repeated

    def summary(self) -> str:
        """The counts in one line.

        >>> RowCounts(rows=3, annotations=3, evaluations=2, not_judged=1).summary()
        '3 rows: accepted 3 labels and 2 verdicts; 1 skipped (0 not labelled, 1 not judged, 0 repeated); 0 invalid'
        """
        blank = f" and {self.blank} blank" if self.blank else ""
        return (
            f"{self.rows} row{'' if self.rows == 1 else 's'}{blank}: accepted {self.annotations} "
            f"label{'' if self.annotations == 1 else 's'} and {self.evaluations} "
            f"verdict{'' if self.evaluations == 1 else 's'}; "
            f"{self.skipped} skipped ({self.not_labelled} not labelled, {self.not_judged} not judged, "
            f"{self.repeated} repeated); {self.invalid} invalid"
        )

    def document(self) -> dict[str, int]:
        """The counts as fields of a JSON document."""
        names = ("rows", "annotations", "evaluations", "not_labelled", "not_judged", "repeated", "skipped", "invalid")
        return {name: getattr(self, name) for name in names}


class RowEvents:
    """Makes the events of tables, and counts.

    Two rows of the same time may not contradict each other: the second of them is invalid, because nothing in the file
    decides which one counts.

    Args:
        report_invalid: is called with a message about everything that cannot be read.
    """

    def __init__(self, report_invalid: Callable[[str], object]) -> None:
        self.counts = RowCounts()
        self._report = report_invalid
        self._seen: dict[tuple[Any, ...], tuple[tuple[Any, ...], str]] = {}
        """Content of the first event of an identity, and where its row is."""

    def of(self, tables: Iterable[TableRules]) -> Iterator[RowEvent]:
        """The events of the tables in order."""
        for table, rules in ((each.table, each.rules) for each in tables):
            self.counts.rows += len(table.rows) + len(table.broken)
            self.counts.blank += table.blank
            for broken in table.broken:
                self.invalid(table.name, broken.place, broken.detail)
            for row in table.rows:
                for event in self._events(table.name, row, rules):
                    value = _LINE(event).encode()
                    self._count(event["kind"], 1)
                    yield RowEvent(table.name, row.place, Kind(event["kind"]), value)

    def reject(self, event: RowEvent, detail: str) -> None:
        """Count and report an event that its consumer did not accept."""
        self._count(event.kind, -1)
        self.invalid(event.file, event.place, detail)

    def _count(self, kind: str, number: int) -> None:
        if kind == Kind.ANNOTATION:
            self.counts.annotations += number
        else:
            self.counts.evaluations += number

    def invalid(self, file: str, place: str, detail: str) -> None:
        """Count and report what cannot be read."""
        self.counts.invalid += 1
        self._report(f"{file}: {place}: {detail}")

    def _events(self, file: str, row: TableRow, rules: ColumnRules) -> list[Mapping[str, Any]]:
        events = []
        for mapped in map_row(row.cells, rules):
            match mapped:
                case UnreadableCell(column, detail):
                    self.invalid(file, row.place, f"column {quoted(column)}: {detail}")
                case EmptyCell(side=ComparedSide.HUMAN):
                    self.counts.not_labelled += 1
                case EmptyCell():
                    self.counts.not_judged += 1
                case MappedEvent(event):
                    events.append(event)
        self._pair(events)
        return [event for event in events if self._is_first(file, row.place, event)]

    def _pair(self, events: Sequence[Mapping[str, Any]]) -> None:
        metrics = {event["metric"] for event in events if event["kind"] == Kind.EVALUATION}
        for event in events:
            if event["kind"] == Kind.ANNOTATION and metrics:
                self.counts.pairs.setdefault(event.get("criterion", DEFAULT_CRITERION), set()).update(metrics)

    def _is_first(self, file: str, place: str, event: Mapping[str, Any]) -> bool:
        """Whether no earlier row has an event of the same identity: the same again, or a contradiction."""
        rule = _REPETITIONS[event["kind"]]
        identity, content = (tuple(event.get(name) for name in names) for names in (rule.identity, rule.content))
        here = f"{file} {place}"
        first_content, first = self._seen.setdefault((event["kind"], *identity), (content, here))
        if first == here:
            return True
        if first_content == content:
            self.counts.repeated += 1
        else:
            detail = (
                f"item {quoted(event['item'])} has another {rule.name} in {first}: name the column of {rule.advice}"
            )
            self.invalid(file, place, detail)
        return False


class _Repetition(NamedTuple):
    """When two events are about the same, and when they contradict each other."""

    identity: tuple[str, ...]
    """Fields of the row's identity (see `aggregator.facts`), and its time."""
    content: tuple[str, ...]
    """Fields that are not the same in a contradiction."""
    name: str
    advice: str


_REPETITIONS: Final[Mapping[str, _Repetition]] = {
    Kind.ANNOTATION: _Repetition(
        ("queue", "item", "criterion", "annotator", "at"),
        ("thumbs", "stars", "explanation"),
        "label",
        "the annotator (--annotator), the criterion (--criterion) or the time (--at-column)",
    ),
    Kind.EVALUATION: _Repetition(
        # A table with a row for each annotator may have the reason on one of them.
        ("item", "metric", "judge", "at"),
        ("passed", "score", "threshold", "direction"),
        "verdict",
        "the metric (--metric), the judge version (--judge) or the time (--at-column)",
    ),
}
