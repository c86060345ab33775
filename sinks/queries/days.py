"""Comparisons by day, for `sinks.queries.deep_dive`: published tallies, and the distinct items of rows."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import orjson

from aggregator.days import DAY_MS, day_name
from aggregator.ratings import COUNTS
from aggregator.snapshot.inputs import Vector
from aggregator.snapshot.trend import WEEK
from sinks.queries.rows import Scope


class Tallied(NamedTuple):
    """Current comparisons of a criterion, metric and day; several of one are of several partitions."""

    criterion: str
    metric: str
    day: str
    vector: Vector


def tallied(
    connection: sqlite3.Connection, scope: Scope, criterion: str | None = None, metric: str | None = None
) -> Iterator[Tallied]:
    """Current comparisons of the window: of a metric, or of all on-topic pairs."""
    sql = "SELECT criterion, metric, day, payload FROM tallies WHERE queue = :queue AND kind = 'cells' AND day >= :day"
    if criterion is not None:
        sql += " AND criterion = :criterion"
    if metric is not None:
        sql += " AND metric = :metric"
    values = {**scope.values(criterion, metric), "day": scope.first_day}
    for row_criterion, row_metric, day, payload in connection.execute(sql, values):
        if metric is None and not scope.rules.on_topic(row_criterion, row_metric):
            continue
        vector = [0] * COUNTS
        for cells in orjson.loads(payload)["judges"].values():
            vector = [total + count for total, count in zip(vector, cells["current"], strict=True)]
        yield Tallied(row_criterion, row_metric, day, vector)


def _days_of_items(annotations: str) -> str:
    """`gap`: for how many days, at most a week, an item counts on before it is seen again."""
    return f"""
SELECT day, gap, count(*) FROM (
    SELECT day, min({WEEK}, ifnull(lead(day) OVER (PARTITION BY item_id ORDER BY day) - day, {WEEK})) AS gap FROM (
        SELECT DISTINCT a.item_id AS item_id, a.at / {DAY_MS} AS day FROM annotations AS a {annotations}
            AND a.counted = 1 AND a.at >= :start AND EXISTS (
                SELECT 1 FROM evaluations AS e WHERE e.item_id = a.item_id AND e.current = 1 AND (
                    e.metric = :metric OR :metric IS NULL AND (
                        a.criterion NOT IN (SELECT value FROM json_each(:paired))
                        OR (a.criterion, e.metric) IN (
                            SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:pairs)))))))
GROUP BY day, gap
"""


_DAYS_OF_ITEMS: Final = {
    True: _days_of_items("INDEXED BY annotations_people WHERE a.queue = :queue AND a.criterion = :criterion"),
    False: _days_of_items("WHERE a.queue = :queue"),
}
"""By whether a criterion is given."""


class DistinctItems(NamedTuple):
    """Distinct items among the comparisons of UTC days, and of the week that ends on each."""

    by_day: Mapping[str, int]
    by_week: Mapping[str, int]


def distinct_items(
    connection: sqlite3.Connection, scope: Scope, criterion: str | None, metric: str | None
) -> DistinctItems:
    """Those of the window, of the same pairs as `tallied`. Days without any are left out by day."""
    pairs = scope.rules.criterion_metrics
    values = {
        **scope.values(criterion, metric),
        "paired": orjson.dumps(list(pairs)).decode(),
        "pairs": orjson.dumps([(name, metric) for name, metrics in pairs.items() for metric in metrics]).decode(),
    }
    by_day: Counter[str] = Counter()
    by_week: Counter[str] = Counter()
    for day, gap, items in connection.execute(_DAYS_OF_ITEMS[criterion is not None], values):
        by_day[day_name(day)] += items
        for later in range(day, day + gap):
            by_week[day_name(later)] += items
    return DistinctItems(by_day, by_week)
