"""Row queries of the deep dive.

Human verdicts on an item are added up before evaluations are joined, so an item's evaluations are read once for any
number of annotators.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from aggregator.ratings import LEVELS
from aggregator.statistics.ceiling import Panel
from aggregator.statistics.scales import ScaleCheck, ScoredVerdict, check_scales
from aggregator.statistics.what_if import ScoredItems
from sinks.queries.scope import HUMAN_PASS, OF_JUDGE, RATING, Scope

PEOPLE: Final = f"""
people AS MATERIALIZED (
    SELECT a.item_id AS item_id, sum({HUMAN_PASS}) AS passes,
        sum(NOT {HUMAN_PASS}) AS fails
    FROM annotations AS a INDEXED BY annotations_people
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
FROM people AS p CROSS JOIN json_each(:metrics) AS m
CROSS JOIN evaluations AS e INDEXED BY evaluations_current
    ON e.item_id = p.item_id AND e.metric = m.value AND e.current = 1
WHERE e.score IS NOT NULL AND {OF_JUDGE}
"""
_SCORED_METRICS: Final = f"""
WITH {PEOPLE}
SELECT m.value FROM json_each(:metrics) AS m WHERE EXISTS (
    SELECT 1 FROM people AS p CROSS JOIN evaluations AS e INDEXED BY evaluations_current
        ON e.item_id = p.item_id AND e.metric = m.value AND e.current = 1
    WHERE e.score IS NOT NULL AND {OF_JUDGE})
"""
_COMPARED_METRICS: Final = """
SELECT DISTINCT metric FROM tallies WHERE queue = :queue AND kind = 'cells' AND criterion = :criterion
"""
# What verdicts ever had, in any queue. Numbers of one sign have the same order by size.
_SIMPLE: Final = """
SELECT s.metric, max(s.lowest IS NOT s.highest) = 0 AND max(s.sizes & 5) < 5
    AND (max(abs(s.highest)) IS NULL OR max(abs(s.highest)) <= 1 OR min(nullif(abs(s.highest), 0)) > 1)
FROM json_each(:metrics) AS m CROSS JOIN judge_scales AS s ON s.metric = m.value GROUP BY s.metric
"""


def scales(connection: sqlite3.Connection, scope: Scope, criterion: str) -> dict[str, ScaleCheck]:
    """Thresholds and scales of the compared items of a criterion, by metric with scores.

    A metric whose versions never had two thresholds or scales has no thresholds here: its rows are not read.
    """
    values = scope.values(criterion)
    compared = [metric for (metric,) in connection.execute(_COMPARED_METRICS, values)]
    simple, others = list[str](), list[str]()
    for metric, is_simple in connection.execute(_SIMPLE, {"metrics": _json(compared)}):
        (simple if is_simple else others).append(metric)
    checks = {
        metric: ScaleCheck({}, False)
        for (metric,) in connection.execute(_SCORED_METRICS, {**values, "metrics": _json(simple)})
    }
    verdicts: dict[str, list[ScoredVerdict]] = defaultdict(list)
    for metric, *verdict in connection.execute(_SCALES, {**values, "metrics": _json(others)}) if others else ():
        verdicts[metric].append(ScoredVerdict(*verdict))
    return checks | {metric: check_scales(of_metric) for metric, of_metric in verdicts.items()}


def _json(names: Sequence[str]) -> str:
    return orjson.dumps(names).decode()


# ---- agreement of people

_RATED: Final = """
FROM annotations AS a INDEXED BY annotations_people
WHERE a.queue = :queue AND a.criterion = :criterion AND a.deleted = 0 AND a.at >= :start
GROUP BY a.item_id HAVING count(*) > 1
"""
_IN_QUEUE: Final = """
NOT EXISTS (
    SELECT 1 FROM queue_items AS q INDEXED BY queue_items_removed
    WHERE q.queue = :queue AND q.item_id = a.item_id AND q.deleted = 1)
"""
_BITS: Final = 8
_MANY: Final = f"SELECT count(*) {_RATED} AND count(*) >= {1 << _BITS} LIMIT 1"
# The numbers of annotators by rating are the bytes of one sum: to add up each is twice the time.
_PANELS: Final = f"""
SELECT levels, count(*) FROM (SELECT sum(1 << ({_BITS} * ({RATING}))) AS levels {_RATED} AND {_IN_QUEUE})
GROUP BY levels
"""
_LEVELS: Final = ", ".join(f"l{level}" for level in range(len(LEVELS)))
_LARGE_PANELS: Final = f"""
SELECT {_LEVELS}, count(*) FROM (
    SELECT {", ".join(f"sum(({RATING}) = {level}) AS l{level}" for level in range(len(LEVELS)))}
    {_RATED} AND {_IN_QUEUE})
GROUP BY {_LEVELS}
"""
_EVERYBODY: Final = """
SELECT count(DISTINCT a.annotator) FROM annotations AS a INDEXED BY annotations_people
WHERE a.queue = :queue AND a.criterion = :criterion AND a.deleted = 0 AND a.at >= :start
"""
# It ends when it has found everybody.
_SHARING: Final = f"""
WITH rated AS (SELECT a.item_id AS item_id {_RATED} AND {_IN_QUEUE})
SELECT DISTINCT a.annotator FROM rated AS r CROSS JOIN annotations AS a INDEXED BY annotations_people
    ON a.queue = :queue AND a.criterion = :criterion AND a.item_id = r.item_id
WHERE a.deleted = 0 AND a.at >= :start LIMIT :most
"""


def panels(connection: sqlite3.Connection, scope: Scope, criterion: str) -> tuple[list[Panel], int]:
    """Items that two or more people rated, grouped by their ratings, and the number of these people (any policy)."""
    values = scope.values(criterion)
    if connection.execute(_MANY, values).fetchone() is None:
        found = [
            Panel([levels >> _BITS * level & (1 << _BITS) - 1 for level in range(len(LEVELS))], items)
            for levels, items in connection.execute(_PANELS, values)
        ]
    else:
        found = [Panel(levels, items) for *levels, items in connection.execute(_LARGE_PANELS, values)]
    (everybody,) = connection.execute(_EVERYBODY, values).fetchone()
    return found, len(connection.execute(_SHARING, {**values, "most": everybody}).fetchall())


# ---- all items of the queue


class JudgedItems(NamedTuple):
    """Verdicts of a judge version on a queue's items."""

    evaluated: int
    """Items with a verdict."""
    passed: int
    """Items that the version passes."""


NOTHING_JUDGED: Final = JudgedItems(0, 0)

_JUDGED: Final = """
SELECT e.judge, count(*), sum(e.passed) FROM {rows} WHERE e.failure = 0 AND e.deleted = 0 AND e.at >= :start
GROUP BY e.judge
"""
_BY_ITEM: Final = _JUDGED.format(
    rows="""queue_items AS q CROSS JOIN evaluations AS e
    ON e.item_id = q.item_id AND e.metric = :metric AND q.queue = :queue AND q.deleted = 0"""
)
# The rows of queue items are wide, and not read.
_BY_VERDICT: Final = _JUDGED.format(
    rows="""evaluations AS e INDEXED BY evaluations_judges
    CROSS JOIN queue_items AS q INDEXED BY queue_items_identity
        ON q.queue = :queue AND q.item_id = e.item_id AND e.metric = :metric AND NOT EXISTS (
            SELECT 1 FROM queue_items AS r INDEXED BY queue_items_removed
            WHERE r.queue = :queue AND r.item_id = e.item_id AND r.deleted = 1)"""
)
_VERDICTS: Final = """
SELECT count(*) FROM (
    SELECT 1 FROM evaluations AS e INDEXED BY evaluations_judges
    WHERE e.metric = :metric AND e.failure = 0 AND e.deleted = 0 LIMIT :most)
"""


def judged_items(connection: sqlite3.Connection, scope: Scope, metric: str, items: int) -> dict[str, JudgedItems]:
    """Verdicts on the items of the queue, by judge version. The window is of the verdicts' own days.

    `items`: their number, as `items_queued` returns it. What has fewer rows is looked through: the items of the queue,
    or the verdicts of the metric in all queues.
    """
    if not items:
        return {}
    values = scope.values(metric=metric)
    (verdicts,) = connection.execute(_VERDICTS, {**values, "most": items}).fetchone()
    rows = connection.execute(_BY_VERDICT if verdicts < items else _BY_ITEM, values)
    return {judge: JudgedItems(*rest) for judge, *rest in rows}


_QUEUED: Final = (
    "SELECT coalesce(sum(items), 0) FROM item_profiles WHERE queue = ? AND profile >= '[1' AND profile < '[2'"
)


def items_queued(connection: sqlite3.Connection, scope: Scope) -> int:
    """Number of items that queue-item rows place in the queue."""
    (items,) = connection.execute(_QUEUED, (scope.queue,)).fetchone()
    return int(items)
