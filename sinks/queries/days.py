"""Comparisons by day: from published tallies, and distinct items from rows."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

import orjson

from aggregator.days import DAY_MS, day_name, day_number
from aggregator.ratings import COUNTS
from aggregator.snapshot.inputs import Vector, sum_vectors
from aggregator.snapshot.trend import WEEK, by_day, by_week
from sinks.queries.profiles import CONTRIBUTING, item_profiles, json_rows
from sinks.queries.queue_totals import count_tallies
from sinks.queries.scope import OF_JUDGE, ON_TOPIC, Scope

_NO_COMPARISONS: Final = (0,) * COUNTS
_NEVER: Final = 1 << 40
"""A day that no item has."""


class PublishedCells(NamedTuple):
    """Comparisons of a criterion, metric and UTC day in one partition."""

    criterion: str
    metric: str
    day: str
    judges: Mapping[str, Mapping[str, Vector]]
    """By judge version, the vectors `current` and `superseded`."""


class DayCells(NamedTuple):
    """Current comparisons of a criterion, metric and UTC day in one partition."""

    criterion: str
    metric: str
    day: str
    vector: Vector


def published_cells(
    connection: sqlite3.Connection, scope: Scope, criterion: str | None = None, metric: str | None = None
) -> list[PublishedCells]:
    """Comparisons of the window, on topic or not, of all judge versions."""
    sql = "SELECT criterion, metric, day, payload FROM tallies WHERE queue = :queue AND kind = 'cells' AND day >= :day"
    if criterion is not None:
        sql += " AND criterion = :criterion"
    if metric is not None:
        sql += " AND metric = :metric"
    values = {**scope.values(criterion, metric), "day": scope.first_day}
    return [_cells(*row) for row in connection.execute(sql, values)]


def recent_cells(connection: sqlite3.Connection, scope: Scope, days: int, most: int) -> list[PublishedCells] | None:
    """Comparisons of a queue for `weekly_alignment` of so many days; None where they need more than `most` tallies.

    Of a queue with more tallies, these are of the last days with tallies.
    """
    if count_tallies(connection, scope.queue, most) <= most:
        return published_cells(connection, scope)
    of_queue = "FROM tallies WHERE queue = ? AND kind = 'cells'"
    (last,) = connection.execute(f"SELECT max(day) {of_queue}", (scope.queue,)).fetchone()
    start = max(scope.first_day, day_name(day_number(last) - days - WEEK + 2))
    sql = f"SELECT criterion, metric, day, payload {of_queue} AND day >= ? LIMIT ?"
    rows = connection.execute(sql, (scope.queue, start, most + 1)).fetchall()
    return None if len(rows) > most else [_cells(*row) for row in rows]


def _cells(criterion: str, metric: str, day: str, payload: bytes) -> PublishedCells:
    return PublishedCells(criterion, metric, day, orjson.loads(payload)["judges"])


def day_cells(cells: Iterable[PublishedCells], scope: Scope, metric: str | None = None) -> Iterator[DayCells]:
    """The current comparisons among cells that the scope counts: of one metric, or of all on-topic pairs."""
    for each in cells:
        if each.metric == metric if metric is not None else scope.rules.on_topic(each.criterion, each.metric):
            counted = (vectors["current"] for judge, vectors in each.judges.items() if scope.judge in (None, judge))
            yield DayCells(each.criterion, each.metric, each.day, sum_vectors((_NO_COMPARISONS, *counted)))


def weekly_alignment(cells: Iterable[DayCells], scope: Scope, days: int) -> dict[str, float]:
    """Alignment of the week that ends on each UTC day with comparisons, by day (ISO text), oldest first.

    Of the last `days` days up to the last one with comparisons.
    """
    compared = [cell for cell in cells if any(cell.vector)]
    last = max((day_number(cell.day) for cell in compared), default=0)
    # The first week begins before the first day.
    start, first = day_name(last - days - WEEK + 2), day_name(last - days + 1)
    recent = ((cell.day, cell.criterion, cell.vector) for cell in compared if cell.day >= start)
    no_items: Counter[str] = Counter()  # Shares without intervals need none.
    weeks = by_week(by_day(recent, no_items, scope.rules), no_items)
    return {day: share.alignment for day, share in weeks.items() if day >= first}


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
    of_days: Counter[str] = Counter()
    of_weeks: Counter[str] = Counter()
    alike = (
        _items_by_days(connection, scope, criterion, metric)
        if criterion is not None and scope.judge is None
        else connection.execute(
            _DAYS_OF_ITEMS[criterion is not None], {**scope.values(criterion, metric), **scope.topic_values()}
        )
    )
    for day, gap, items in alike:
        of_days[day_name(day)] += items
        for later in range(day, day + gap):
            of_weeks[day_name(later)] += items
    return DistinctItems(of_days, of_weeks)


def _items_by_days(
    connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str | None
) -> Iterator[tuple[int, int, int]]:
    """Day, gap and number of items, as `_DAYS_OF_ITEMS` has them, of one criterion and all judge versions.

    An item is compared with a metric that has a standing verdict on it, which its profile states.
    """
    compared = {
        profile.id
        for profile in item_profiles(connection, scope.queue)
        if any(
            name == metric if metric is not None else scope.rules.on_topic(criterion, name)
            for name, _ in profile.versions
        )
    }
    first = day_number(scope.first_day) if scope.first_day else 0
    alike: Counter[tuple[int, int]] = Counter()
    for profile, items, days in json_rows(connection, CONTRIBUTING, scope.queue, criterion):
        if profile in compared:
            counted = sorted(day for day, _ in days if day >= first)
            for day, following in pairwise((*counted, _NEVER)):
                alike[day, min(WEEK, following - day)] += items
    for (day, gap), items in alike.items():
        yield day, gap, items
