"""Comparisons by day: from published tallies, and distinct items from rows."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import orjson

from aggregator.days import DAY_MS, day_name
from aggregator.ratings import COUNTS
from aggregator.snapshot.inputs import Vector, sum_vectors
from aggregator.snapshot.trend import WEEK, by_day, by_week
from sinks.queries.scope import OF_JUDGE, ON_TOPIC, Scope

_NO_COMPARISONS: Final = (0,) * COUNTS


class DayCells(NamedTuple):
    """Current comparisons of a criterion, metric and UTC day in one partition."""

    criterion: str
    metric: str
    day: str
    vector: Vector


def day_cells(
    connection: sqlite3.Connection, scope: Scope, criterion: str | None = None, metric: str | None = None
) -> Iterator[DayCells]:
    """Current comparisons of the window: of one metric, or of all on-topic pairs."""
    sql = "SELECT criterion, metric, day, payload FROM tallies WHERE queue = :queue AND kind = 'cells' AND day >= :day"
    if criterion is not None:
        sql += " AND criterion = :criterion"
    if metric is not None:
        sql += " AND metric = :metric"
    values = {**scope.values(criterion, metric), "day": scope.first_day}
    for row_criterion, row_metric, day, payload in connection.execute(sql, values):
        if metric is None and not scope.rules.on_topic(row_criterion, row_metric):
            continue
        judges = orjson.loads(payload)["judges"].items()
        counted = (cells["current"] for judge, cells in judges if scope.judge in (None, judge))
        vector = sum_vectors((_NO_COMPARISONS, *counted))
        yield DayCells(row_criterion, row_metric, day, vector)


def weekly_alignment(cells: Iterable[DayCells], scope: Scope) -> dict[str, float]:
    """Alignment of the week that ends on each UTC day with comparisons, by day (ISO text), oldest first."""
    no_items: Counter[str] = Counter()  # Shares without intervals need none.
    days = by_day(((cell.day, cell.criterion, cell.vector) for cell in cells), no_items, scope.rules)
    return {day: share.alignment for day, share in by_week(days, no_items).items()}


def _days_of_items(annotations: str) -> str:
    """SQL of items by day and gap. `gap`: days, at most a week, until the item's next day: so long it counts once."""
    return f"""
SELECT day, gap, count(*) FROM (
    SELECT day, min({WEEK}, ifnull(lead(day) OVER (PARTITION BY item_id ORDER BY day) - day, {WEEK})) AS gap FROM (
        SELECT DISTINCT a.item_id AS item_id, a.at / {DAY_MS} AS day FROM annotations AS a {annotations}
            AND a.counted = 1 AND a.at >= :start AND EXISTS (
                SELECT 1 FROM evaluations AS e WHERE e.item_id = a.item_id AND e.current = 1 AND {OF_JUDGE} AND (
                    e.metric = :metric OR :metric IS NULL AND {ON_TOPIC}))))
GROUP BY day, gap
"""


_DAYS_OF_ITEMS: Final = {
    True: _days_of_items("INDEXED BY annotations_people WHERE a.queue = :queue AND a.criterion = :criterion"),
    False: _days_of_items("WHERE a.queue = :queue"),
}
"""SQL by whether a criterion is given."""


class DistinctItems(NamedTuple):
    """Distinct items among comparisons, by UTC day (ISO text). A day without comparisons is missing."""

    by_day: Mapping[str, int]
    by_week: Mapping[str, int]
    """Of the week that ends on each day."""


def distinct_items(
    connection: sqlite3.Connection, scope: Scope, criterion: str | None, metric: str | None
) -> DistinctItems:
    """Distinct items of the window, over the same pairs as `day_cells`."""
    values = {**scope.values(criterion, metric), **scope.topic_values()}
    of_days: Counter[str] = Counter()
    of_weeks: Counter[str] = Counter()
    for day, gap, items in connection.execute(_DAYS_OF_ITEMS[criterion is not None], values):
        of_days[day_name(day)] += items
        for later in range(day, day + gap):
            of_weeks[day_name(later)] += items
    return DistinctItems(of_days, of_weeks)
