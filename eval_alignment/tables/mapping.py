"""From a row of a table to events: pure, by rules for the columns.

A row becomes an annotation (who rated the item, and how) and an evaluation for each metric that judged it. An empty
cell is no label and no verdict. The id of an event is a digest of its content without the time, so the same row always
has the same id.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from aggregator.facts import Direction
from eval_alignment.tables.labels import Label, LabelScale, UnreadableCellError, number, quoted
from sources.tables import NestedCell

ID_PREFIX: Final = "row:"
"""Start of the id of an event from a row."""
_STABLE: Final = json.JSONEncoder(sort_keys=True).encode


class ComparedSide(StrEnum):
    """A side of a comparison."""

    HUMAN = "not labelled"
    METRIC = "not judged"


@dataclass(frozen=True, slots=True)
class MappedEvent:
    """An event of a row."""

    event: Mapping[str, Any]
    """Its fields, as a producer sends them."""


@dataclass(frozen=True, slots=True)
class EmptyCell:
    """No event, because the cell of a label or verdict is empty or left out by its scale."""

    column: str
    side: ComparedSide


@dataclass(frozen=True, slots=True)
class UnreadableCell:
    """No event, because a cell is not what its column needs."""

    column: str
    detail: str


Mapped = MappedEvent | EmptyCell | UnreadableCell


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRule:
    """How one metric's result is read: a verdict, a score with its threshold, or both, where the verdict decides."""

    name: str | None = None
    """Fixed name; None where `ColumnRules.metric` or the criterion names it."""
    verdict: str | None = None
    scale: LabelScale | None = None
    score: str | None = None
    threshold: float | None = None
    threshold_column: str | None = None
    direction: Direction = "higher"

    @property
    def column(self) -> str:
        """The column that the rule is about."""
        return self.verdict or self.score or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRules:
    """What the columns of a table mean. A role without column has the fixed value, or none."""

    item: str
    queue: str
    at: int
    """Time of events in milliseconds, where `at_column` is None or empty."""
    at_column: str | None = None
    human: str | None = None
    scale: LabelScale | None = None
    """Of the human column."""
    annotator: str | None = None
    criterion: str | None = None
    criterion_name: str | None = None
    explanation: str | None = None
    metrics: Sequence[MetricRule] = ()
    metric: str | None = None
    """Column with the name of the metric."""
    judge: str | None = None
    judge_name: str | None = None
    reason: str | None = None


def map_row(cells: Mapping[str, str], rules: ColumnRules) -> Iterator[Mapped]:
    """The events of a row, and each cell that became none.

    >>> from eval_alignment.tables.labels import WORDS
    >>> judge = MetricRule(name="tone", verdict="passed", scale=WORDS)
    >>> rules = ColumnRules(item="id", queue="q", at=1764000000000, human="label", scale=WORDS, metrics=[judge])
    >>> row = {"id": "007", "label": "Yes", "passed": ""}
    >>> [{**each.event} for each in map_row(row, rules) if isinstance(each, MappedEvent)][0]["item"]
    '007'
    """
    try:
        start = {"item": _item(cells, rules.item), "at": _time(cells, rules)}
    except _CellError as error:
        yield error.cell
        return
    sides = [] if rules.human is None else [partial(_annotation, rules.human)]
    for make in (*sides, *(partial(_evaluation, metric) for metric in rules.metrics)):
        try:
            yield make(cells, rules, start)
        except _CellError as error:
            yield error.cell


class _CellError(Exception):
    """Carries an unreadable cell out of the nested functions."""

    def __init__(self, column: str, detail: str) -> None:
        super().__init__(detail)
        self.cell = UnreadableCell(column, detail)


def _annotation(column: str, cells: Mapping[str, str], rules: ColumnRules, start: Mapping[str, Any]) -> Mapped:
    label = _label(cells, column, rules.scale)
    if label is None:
        return EmptyCell(column, ComparedSide.HUMAN)
    event = {
        **start,
        "queue": rules.queue,
        "stars" if isinstance(label, int) else "thumbs": label,
        "criterion": _criterion(cells, rules),
        "annotator": _text(cells, rules.annotator),
        "explanation": _text(cells, rules.explanation),
    }
    return MappedEvent(_identified("annotation", event))


def _evaluation(metric: MetricRule, cells: Mapping[str, str], rules: ColumnRules, start: Mapping[str, Any]) -> Mapped:
    verdict = _label(cells, metric.verdict, metric.scale)
    score = _number(cells, metric.score)
    if verdict is None and score is None:
        return EmptyCell(metric.column, ComparedSide.METRIC)
    column_threshold = _number(cells, metric.threshold_column)
    threshold = metric.threshold if column_threshold is None else column_threshold
    event = {
        **start,
        "metric": metric.name if rules.metric is None else _name(cells, rules.metric),
        "judge": rules.judge_name if rules.judge is None else _text(cells, rules.judge),
        "passed": None if verdict is None else verdict == "up",
        "score": score,
        "threshold": None if score is None else threshold,
        "direction": "lower" if score is not None and metric.direction == "lower" else None,
        "reason": _text(cells, rules.reason),
    }
    return MappedEvent(_identified("evaluation", event))


def _identified(kind: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """The event with its kind and id, without empty fields."""
    content = {"kind": kind, **{name: value for name, value in event.items() if value not in (None, "")}}
    stable = _STABLE({name: value for name, value in content.items() if name != "at"})
    return {"id": ID_PREFIX + blake2b(stable.encode(), digest_size=16).hexdigest(), **content}


def _cell(cells: Mapping[str, str], column: str) -> str:
    cell = cells.get(column, "")
    if isinstance(cell, NestedCell):
        raise _CellError(column, f"is {cell}, expected text or a number")
    return cell


def _text(cells: Mapping[str, str], column: str | None) -> str | None:
    return None if column is None else _cell(cells, column)


def _item(cells: Mapping[str, str], column: str) -> str:
    """The item, byte for byte."""
    cell = _cell(cells, column)
    if not cell.strip():
        raise _CellError(column, "is empty, expected the id of the item")
    return cell


def _name(cells: Mapping[str, str], column: str) -> str:
    name = _cell(cells, column).strip()
    if not name:
        raise _CellError(column, "is empty, expected a name")
    return name


def _criterion(cells: Mapping[str, str], rules: ColumnRules) -> str | None:
    return rules.criterion_name if rules.criterion is None else _name(cells, rules.criterion)


def _label(cells: Mapping[str, str], column: str | None, scale: LabelScale | None) -> Label:
    if column is None or scale is None or not (cell := _cell(cells, column)).strip():
        return None
    try:
        return scale.read(cell)
    except UnreadableCellError as error:
        raise _CellError(column, str(error)) from None


def _number(cells: Mapping[str, str], column: str | None) -> float | None:
    if column is None or not (cell := _cell(cells, column)).strip():
        return None
    value = number(cell)
    if value is None:
        raise _CellError(column, f"{quoted(cell)} is not a number")
    return value


def _time(cells: Mapping[str, str], rules: ColumnRules) -> int | str:
    """Milliseconds, or an RFC 3339 time; a day stands for its start in UTC."""
    cell = (_text(cells, rules.at_column) or "").strip()
    if not cell:
        return rules.at
    if cell.isascii() and cell.isdigit():
        return int(cell)
    return f"{cell}T00:00:00Z" if len(cell) == len("2026-01-31") else cell
