"""Single comparisons behind the counts: an annotation beside the current evaluation of a metric on its
item.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import base64
import binascii
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final, TypedDict, cast
from urllib.parse import quote

import orjson

from aggregator.days import Window
from aggregator.facts import Direction, Level
from aggregator.ratings import Thumbs
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import Outcome
from sinks.queries.scope import HUMAN_PASS, ON_TOPIC, Scope, Values
from streams.runtime.errors import EvalAlignmentError

PAGE_LIMIT: Final = 500
"""Most rows of one answer."""

_OUTCOME: Final = {
    "tp": f"({HUMAN_PASS} AND e.passed = 1)",
    "fn": f"({HUMAN_PASS} AND e.passed = 0)",
    "tn": f"(NOT {HUMAN_PASS} AND e.passed = 0)",
    "fp": f"(NOT {HUMAN_PASS} AND e.passed = 1)",
}

_SELECT: Final = f"""
SELECT a.item, a.level, a.criterion, a.annotator, a.at, a.thumbs, a.stars, a.explanation, a.expected,
    e.metric, e.at, e.judge, e.score, e.threshold, e.direction, e.passed, e.reason, {HUMAN_PASS},
    coalesce(a.url, (SELECT q.url FROM queue_items AS q WHERE q.queue = a.queue AND q.item_id = a.item_id), e.url)
"""
_FROM: Final = """
FROM annotations AS a CROSS JOIN evaluations AS e ON e.item_id = a.item_id AND e.current = 1
WHERE a.queue = :queue AND a.counted = 1
"""


class ComparisonSort(StrEnum):
    """Orders of comparisons; equals come newest first.

    Dissent is the distance of the stars from the pass mark; thumbs have none and follow, then by the distance of the
    score from the threshold.
    """

    NEWEST = "newest"
    DISSENT = "dissent"
    THRESHOLD = "threshold"


_NEWEST: Final = "a.at DESC, a.item DESC, a.criterion DESC, a.annotator DESC, e.metric DESC"
_MARGIN: Final = "abs(e.score - e.threshold)"
_ORDERS: Final = {
    ComparisonSort.NEWEST: _NEWEST,
    ComparisonSort.DISSENT: f"abs(a.stars - :pass_stars + 0.5) DESC NULLS LAST, {_MARGIN} DESC NULLS LAST, {_NEWEST}",
    ComparisonSort.THRESHOLD: f"{_MARGIN} ASC NULLS LAST, {_NEWEST}",
}
_EQUAL: Final = {
    "criterion": "a.criterion",
    "metric": "e.metric",
    "annotator": "a.annotator",
    "level": "a.level",
    "judge": "e.judge",
}
_BEHIND: Final = """
AND a.at <= :at
AND (a.at, a.item, a.criterion, a.annotator, e.metric) < (:at, :item, :row, :column, :name)
"""


class Comparison(TypedDict):
    """One comparison of an annotation with an evaluation."""

    item: str
    """Id of the item."""
    level: Level
    """What the item is."""
    criterion: str
    """Name of the criterion."""
    annotator: str
    """The person; empty when unknown."""
    annotated_at: int
    """`at` of the annotation, in milliseconds since 1970."""
    thumbs: Thumbs | None
    """The rating, or null."""
    stars: int | None
    """The rating, or null."""
    explanation: str | None
    """Why the person rates it so, as it was sent: escape it before display."""
    expected: str | None
    """The output that the person expects."""
    metric: str
    """Name of the metric."""
    evaluated_at: int
    """`at` of the evaluation, in milliseconds since 1970."""
    judge: str
    """Version of the judge."""
    score: float | None
    """The metric's score."""
    threshold: float | None
    """Threshold of the evaluation."""
    direction: Direction
    """Which side of the threshold passes."""
    passed: bool
    """Verdict of the metric."""
    reason: str | None
    """The judge's explanation, as it was sent."""
    outcome: Outcome
    """Cell of the confusion matrix."""
    url: str | None
    """Address of the item: from an event, or from the setting `item_url`."""


class Page(TypedDict):
    """Some comparisons of a queue."""

    comparisons: list[Comparison]
    """Comparisons, newest annotation first."""
    next: str | None
    """Cursor of the following page; null at the end."""


class CursorError(EvalAlignmentError, ValueError):
    """The cursor does not come from an earlier page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which comparisons: empty means all. `limit` is 1 to `PAGE_LIMIT`.

    A page starts behind `cursor` (newest first only), or after `offset` comparisons. `on_topic` leaves out what the
    setting `criterion_metrics` does.
    """

    queue: str
    criterion: str | None = None
    metric: str | None = None
    outcomes: Sequence[Outcome] = ()
    annotator: str | None = None
    level: str | None = None
    judge: str | None = None
    on_topic: bool = False
    window: Window = Window.ALL
    sort: ComparisonSort = ComparisonSort.NEWEST
    cursor: str | None = None
    offset: int = 0
    limit: int = 50


def comparisons(
    connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date, item_url: str = ""
) -> Page:
    """A page of comparisons in the state that a connection sees. `item_url`: template with `{item}` and `{level}` where
    no url came.

    Raises CursorError.
    """
    where, values = _where(query, rules, today)
    if query.cursor is not None:
        where += _BEHIND
        values.update(zip(("at", "item", "row", "column", "name"), _parse(query.cursor), strict=True))
    values.update(limit=query.limit + 1, offset=query.offset)
    sql = f"{_SELECT} {where} ORDER BY {_ORDERS[query.sort]} LIMIT :limit OFFSET :offset"
    rows = connection.execute(sql, values).fetchall()
    found = [_comparison(row, item_url) for row in rows[: query.limit]]
    more = len(rows) > query.limit
    return Page(comparisons=found, next=_cursor(found[-1]) if more else None)


def total(connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date) -> int:
    """How many comparisons a query has on all its pages."""
    where, values = _where(query, rules, today)
    return int(connection.execute(f"SELECT count(*) {where}", values).fetchone()[0])


def _where(query: Query, rules: CountingRules, today: date) -> tuple[str, Values]:
    scope = Scope(query.queue, query.window, today, rules)
    sql = _FROM
    values: Values = {"queue": query.queue, "pass_stars": rules.pass_stars}
    for name, column in _EQUAL.items():
        if (value := getattr(query, name)) is not None:
            sql += f" AND {column} = :{name}"
            values[name] = value
    if query.on_topic and rules.criterion_metrics:
        sql += f" AND {ON_TOPIC}"
        values.update(scope.topic_values())
    if query.outcomes:
        sql += f" AND ({' OR '.join(_OUTCOME[outcome] for outcome in query.outcomes)})"
    if scope.start:
        sql += " AND a.at >= :start"
        values["start"] = scope.start
    return sql, values


def _comparison(row: Sequence[Any], item_url: str) -> Comparison:
    *columns, direction, passed, reason, human, url = row
    names = (
        "item", "level", "criterion", "annotator", "annotated_at", "thumbs", "stars", "explanation",
        "expected", "metric", "evaluated_at", "judge", "score", "threshold",
    )  # fmt: skip
    made: Any = dict(zip(names, columns, strict=True))
    if url is None and item_url:
        url = item_url.replace("{item}", quote(str(made["item"]), safe="")).replace("{level}", str(made["level"]))
    made.update(direction=direction, passed=bool(passed), reason=reason, url=url)
    made["outcome"] = ("tn", "fp", "fn", "tp")[2 * bool(human) + bool(passed)]
    return cast("Comparison", made)


def _cursor(last: Comparison) -> str:
    key = (last["annotated_at"], last["item"], last["criterion"], last["annotator"], last["metric"])
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _parse(cursor: str) -> list[str | int]:
    try:
        key = orjson.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error) as error:
        raise CursorError("not a cursor of an earlier page") from error
    if not isinstance(key, list) or [type(part) for part in key] != [int, str, str, str, str] or abs(key[0]) >= 2**63:
        raise CursorError("not a cursor of an earlier page")
    return key
