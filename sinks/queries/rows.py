"""Row queries of the deep dive.

Human verdicts on an item are added up before evaluations are joined, so an item's evaluations are read once for any
number of annotators.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections import Counter, defaultdict
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from aggregator.ratings import LEVELS, level_of
from aggregator.statistics.ceiling import Panel
from aggregator.statistics.scales import ScaleCheck, ScoredVerdict, check_scales
from aggregator.statistics.what_if import ScoredItems
from sinks.queries.profiles import item_profiles
from sinks.queries.scope import HUMAN_PASS, OF_JUDGE, Scope

PEOPLE: Final = f"""
people AS MATERIALIZED (
    SELECT a.item_id AS item_id, sum({HUMAN_PASS}) AS passes,
        sum(NOT {HUMAN_PASS}) AS fails
    FROM annotations AS a
    WHERE a.queue = :queue AND a.criterion = :criterion AND a.counted = 1 AND a.at >= :start
    GROUP BY a.item_id)
"""
"""SQL: the human verdicts on each item of a criterion, added up."""

# ---- scores


_SCORED: Final = f"""
WITH {PEOPLE}
SELECT e.judge, e.score, e.threshold, e.direction, e.passed, max(e.at), count(*), sum(p.passes), sum(p.fails)
FROM people AS p CROSS JOIN evaluations AS e INDEXED BY evaluations_current
    ON e.item_id = p.item_id AND e.metric = :metric AND e.current = 1 AND {OF_JUDGE}
GROUP BY e.judge, e.score, e.threshold, e.direction, e.passed
"""


def scored(connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str) -> list[ScoredItems]:
    """The compared items of a criterion and metric."""
    return list(map(ScoredItems._make, connection.execute(_SCORED, scope.values(criterion, metric))))


# DISTINCT keeps a row for each answer, where GROUP BY would sort all evaluations. One score of each size is enough to
# tell scales apart.
_SCALES: Final = f"""
WITH {PEOPLE}
SELECT DISTINCT e.metric, e.judge, e.threshold, CASE
    WHEN abs(e.score) >= 10 THEN 10.0 WHEN abs(e.score) > 1 THEN 5.0 WHEN abs(e.score) IN (0, 1) THEN 1.0 ELSE 0.5 END
FROM people AS p CROSS JOIN evaluations AS e INDEXED BY evaluations_current ON e.item_id = p.item_id AND e.current = 1
WHERE e.score IS NOT NULL AND {OF_JUDGE}
"""


def scales(connection: sqlite3.Connection, scope: Scope, criterion: str) -> dict[str, ScaleCheck]:
    """Thresholds and scales of the compared items of a criterion, by metric."""
    verdicts: dict[str, list[ScoredVerdict]] = defaultdict(list)
    for metric, *verdict in connection.execute(_SCALES, scope.values(criterion)):
        verdicts[metric].append(ScoredVerdict(*verdict))
    return {metric: check_scales(of_metric) for metric, of_metric in verdicts.items()}


# ---- agreement of people

_STANDING: Final = """
SELECT a.item_id, a.annotator, a.thumbs, a.stars FROM annotations AS a
WHERE a.queue = :queue AND a.criterion = :criterion AND a.deleted = 0 AND a.at >= :start
    AND a.item_id IN (
        SELECT b.item_id FROM annotations AS b
        WHERE b.queue = :queue AND b.criterion = :criterion AND b.deleted = 0 AND b.at >= :start
        GROUP BY b.item_id HAVING count(*) > 1)
    AND a.item_id NOT IN (SELECT q.item_id FROM queue_items AS q WHERE q.queue = :queue AND q.deleted = 1)
ORDER BY a.item_id
"""


def panels(connection: sqlite3.Connection, scope: Scope, criterion: str) -> tuple[list[Panel], int]:
    """Items that two or more people rated, grouped by their ratings, and the number of these people (any policy)."""
    items_by_levels: Counter[tuple[int, ...]] = Counter()
    annotators: set[str] = set()
    for _, group in groupby(connection.execute(_STANDING, scope.values(criterion)), itemgetter(0)):
        levels = [0] * len(LEVELS)
        for _, annotator, thumbs, stars in group:
            annotators.add(annotator)
            levels[level_of(thumbs, stars)] += 1
        items_by_levels[tuple(levels)] += 1
    return [Panel(levels, items) for levels, items in items_by_levels.items()], len(annotators)


# ---- all items of the queue


class JudgedItems(NamedTuple):
    """Verdicts of a judge version on a queue's items."""

    evaluated: int
    """Items with a verdict."""
    passed: int
    """Items that the version passes."""


NOTHING_JUDGED: Final = JudgedItems(0, 0)

_JUDGED: Final = """
SELECT e.judge, count(*), sum(e.passed)
FROM queue_items AS q CROSS JOIN evaluations AS e ON e.item_id = q.item_id AND e.metric = :metric AND e.failure = 0
WHERE q.queue = :queue AND q.deleted = 0 AND e.deleted = 0 AND e.at >= :start
GROUP BY e.judge
"""


def judged_items(connection: sqlite3.Connection, scope: Scope, metric: str) -> dict[str, JudgedItems]:
    """Verdicts on the items of the queue, by judge version. The window is of the verdicts' own days."""
    rows = connection.execute(_JUDGED, scope.values(metric=metric))
    return {judge: JudgedItems(*rest) for judge, *rest in rows}


def items_queued(connection: sqlite3.Connection, scope: Scope) -> int:
    """Number of items that queue-item rows place in the queue."""
    return sum(profile.items for profile in item_profiles(connection, scope.queue) if profile.placed)
