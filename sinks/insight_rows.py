"""The row queries behind `sinks.insights`. People's results on an item are added up before anything is joined to them:
an item's evaluations are then read once, however many people annotated it.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

import orjson

from aggregator.ceiling import Panel
from aggregator.document import SnapshotDocument
from aggregator.facts import Direction
from aggregator.ratings import COUNTS, LEVELS, level_of
from aggregator.state import Reading, Vector, Window, window_start
from aggregator.statistics import Confusion
from aggregator.tallies import DAY_MS, day_of
from aggregator.versions import Version


@dataclass(frozen=True, slots=True)
class Scope:
    """A queue in a window that ends on `today` (UTC), and how its counts are read."""

    queue: str
    window: Window
    today: date
    reading: Reading

    @property
    def first_day(self) -> str:
        """The window's first day as ISO text; empty when it has none."""
        return window_start(self.window, self.today) or ""

    @property
    def start(self) -> int:
        """The window's first millisecond since epoch."""
        return (date.fromisoformat(self.first_day) - date(1970, 1, 1)).days * DAY_MS if self.first_day else 0

    def values(self, criterion: str | None = None, metric: str | None = None) -> dict[str, str | int | None]:
        """What every query binds."""
        return {
            "queue": self.queue,
            "criterion": criterion,
            "metric": metric,
            "start": self.start,
            "pass_stars": self.reading.pass_stars,
        }


_PEOPLE: Final = """
people AS MATERIALIZED (
    SELECT a.item AS item, sum(a.thumbs IS 'up' OR ifnull(a.stars, 0) >= :pass_stars) AS passes,
        sum(NOT (a.thumbs IS 'up' OR ifnull(a.stars, 0) >= :pass_stars)) AS fails
    FROM annotations AS a
    WHERE a.queue = :queue AND a.criterion = :criterion AND a.counted = 1 AND a.at >= :start
    GROUP BY a.item)
"""

# ---- tallies


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
        if metric is None and not scope.reading.on_topic(row_criterion, row_metric):
            continue
        vector = [0] * COUNTS
        for cells in orjson.loads(payload)["judges"].values():
            vector = [total + count for total, count in zip(vector, cells["current"], strict=True)]
        yield Tallied(row_criterion, row_metric, day, vector)


_ITEMS_BY_DAY: Final = f"""
SELECT a.at / {DAY_MS} * {DAY_MS}, count(DISTINCT a.item) FROM annotations AS a
WHERE a.queue = :queue AND a.counted = 1 AND a.at >= :start AND (:criterion IS NULL OR a.criterion = :criterion)
    AND EXISTS (
        SELECT 1 FROM evaluations AS e WHERE e.item = a.item AND e.current = 1 AND (
            e.metric = :metric OR :metric IS NULL AND (
                a.criterion NOT IN (SELECT value FROM json_each(:paired))
                OR (a.criterion, e.metric) IN (
                    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:pairs)))))
GROUP BY 1
"""


def items_by_day(
    connection: sqlite3.Connection, scope: Scope, criterion: str | None, metric: str | None
) -> dict[str, int]:
    """Distinct items among the comparisons of each UTC day of the window, of the same pairs as `tallied`."""
    pairs = scope.reading.pairs
    values = {
        **scope.values(criterion, metric),
        "paired": orjson.dumps(list(pairs)).decode(),
        "pairs": orjson.dumps([(name, metric) for name, metrics in pairs.items() for metric in metrics]).decode(),
    }
    return {day_of(at): items for at, items in connection.execute(_ITEMS_BY_DAY, values)}


# ---- scores


class ScoredItem(NamedTuple):
    """An item's current evaluation, and how many people passed and failed the item; `at` in ms."""

    score: float | None
    threshold: float | None
    direction: Direction
    passed: int
    at: int
    passes: int
    fails: int


_SCORED: Final = f"""
WITH {_PEOPLE}
SELECT e.score, e.threshold, e.direction, e.passed, e.at, p.passes, p.fails
FROM people AS p CROSS JOIN evaluations AS e ON e.item = p.item AND e.metric = :metric AND e.current = 1
"""


def scored(connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str) -> list[ScoredItem]:
    """The compared items of a pair."""
    return list(map(ScoredItem._make, connection.execute(_SCORED, scope.values(criterion, metric))))


# ---- people among themselves

_STANDING: Final = """
SELECT a.item, a.annotator, a.thumbs, a.stars FROM annotations AS a
WHERE a.queue = :queue AND a.criterion = :criterion AND a.deleted = 0 AND a.at >= :start
    AND a.item NOT IN (SELECT q.item FROM queue_items AS q WHERE q.queue = :queue AND q.deleted = 1)
ORDER BY a.item
"""


def panels(connection: sqlite3.Connection, scope: Scope, criterion: str) -> tuple[list[Panel], int]:
    """Items that two or more people rated, whatever the policy, by what they gave; and how many people those are."""
    found: Counter[tuple[int, ...]] = Counter()
    annotators: set[str] = set()
    for _, group in groupby(connection.execute(_STANDING, scope.values(criterion)), itemgetter(0)):
        ratings = list(group)
        if len(ratings) < 2:
            continue
        levels = [0] * len(LEVELS)
        for _, annotator, thumbs, stars in ratings:
            annotators.add(annotator)
            levels[level_of(thumbs, stars)] += 1
        found[tuple(levels)] += 1
    return [Panel(levels, items) for levels, items in found.items()], len(annotators)


# ---- judge versions

_VERSIONS: Final = f"""
WITH {_PEOPLE}
SELECT e.metric, e.judge, min(e.at), count(*), sum(p.passes * e.passed), sum(p.passes * (1 - e.passed)),
    sum(p.fails * (1 - e.passed)), sum(p.fails * e.passed), sum((p.passes + p.fails) * (1 - e.current))
FROM people AS p CROSS JOIN evaluations AS e ON e.item = p.item AND e.failure = 0
WHERE e.deleted = 0 AND (:metric IS NULL OR e.metric = :metric)
GROUP BY e.metric, e.judge
"""


def judge_versions(
    connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str | None = None
) -> dict[str, list[Version]]:
    """Judge versions with their own comparisons, by metric: of one, or of all."""
    found: dict[str, list[Version]] = {}
    rows = connection.execute(_VERSIONS, scope.values(criterion, metric))
    for name, judge, first_at, items, tp, fn, tn, fp, superseded in rows:
        counts = Confusion(tp=tp, fn=fn, tn=tn, fp=fp, items=items)
        found.setdefault(name, []).append(Version(judge, first_at, counts, superseded))
    return found


class Duel(NamedTuple):
    """Two judge versions on the items that both judged, and on how many of them people side with one only."""

    first: str
    second: str
    items: int
    first_only: int
    second_only: int


_DUELS: Final = f"""
WITH {_PEOPLE}
SELECT e.judge, f.judge, count(*),
    sum(e.passed > f.passed AND p.passes > p.fails OR e.passed < f.passed AND p.passes < p.fails),
    sum(e.passed < f.passed AND p.passes > p.fails OR e.passed > f.passed AND p.passes < p.fails)
FROM people AS p
CROSS JOIN evaluations AS e ON e.item = p.item AND e.metric = :metric AND e.failure = 0
CROSS JOIN evaluations AS f ON f.item = e.item AND f.metric = e.metric AND f.failure = 0 AND f.judge <> e.judge
WHERE e.deleted = 0 AND f.deleted = 0
GROUP BY e.judge, f.judge
"""


def duels(connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str) -> dict[tuple[str, str], Duel]:
    """Every two versions that judged an item of the pair both, in either order."""
    rows = connection.execute(_DUELS, scope.values(criterion, metric))
    return {row[:2]: Duel(*row) for row in rows}


# ---- history

_LAST_OF_DAYS: Final = f"""
SELECT at, document FROM snapshots AS s WHERE s.queue = :queue AND s.at >= :start AND NOT EXISTS (
    SELECT 1 FROM snapshots AS later
    WHERE later.queue = s.queue AND later.at > s.at AND later.at < (s.at / {DAY_MS} + 1) * {DAY_MS})
ORDER BY s.at
"""


def last_documents(connection: sqlite3.Connection, scope: Scope) -> Iterator[tuple[str, SnapshotDocument]]:
    """The last document kept of each UTC day of the window, oldest first."""
    for at, document in connection.execute(_LAST_OF_DAYS, scope.values()):
        yield day_of(at), orjson.loads(zlib.decompress(document))


# ---- all items of the queue


class JudgedItems(NamedTuple):
    """What a judge version said of a queue's items; `first_at`: its first verdict of the window, in ms."""

    first_at: int
    evaluated: int
    passed: int


NOTHING_JUDGED: Final = JudgedItems(0, 0, 0)

_JUDGED: Final = """
SELECT e.judge, min(e.at), count(*), sum(e.passed)
FROM queue_items AS q CROSS JOIN evaluations AS e ON e.item = q.item AND e.metric = :metric AND e.failure = 0
WHERE q.queue = :queue AND q.deleted = 0 AND e.deleted = 0 AND e.at >= :start
GROUP BY e.judge
"""


def judged_items(connection: sqlite3.Connection, scope: Scope, metric: str) -> dict[str, JudgedItems]:
    """Verdicts of the window (by their own day) on the items that stand in the queue, by judge version."""
    rows = connection.execute(_JUDGED, scope.values(metric=metric))
    return {judge: JudgedItems(*rest) for judge, *rest in rows}


def items_queued(connection: sqlite3.Connection, scope: Scope) -> int:
    """Items that standing queue-item rows place in the queue."""
    sql = "SELECT count(*) FROM queue_items WHERE queue = ? AND deleted = 0"
    (count,) = connection.execute(sql, (scope.queue,)).fetchone()
    return int(count)
