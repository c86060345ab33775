"""Row queries of the deep dive.

Human verdicts on an item are added up before evaluations are joined, so an item's evaluations are read once for any
number of annotators.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

import orjson

from aggregator.ratings import LEVELS, level_of
from aggregator.statistics.ceiling import Panel
from aggregator.statistics.confusion import Confusion
from aggregator.statistics.scales import ScaleCheck, ScoredVerdict, check_scales
from aggregator.statistics.versions import VersionCounts
from aggregator.statistics.what_if import ScoredItems
from sinks.queries.scope import HUMAN_PASS, OF_JUDGE, Scope

_PEOPLE: Final = f"""
people AS MATERIALIZED (
    SELECT a.item_id AS item_id, sum({HUMAN_PASS}) AS passes,
        sum(NOT {HUMAN_PASS}) AS fails
    FROM annotations AS a
    WHERE a.queue = :queue AND a.criterion = :criterion AND a.counted = 1 AND a.at >= :start
    GROUP BY a.item_id)
"""

# ---- scores


_SCORED: Final = f"""
WITH {_PEOPLE}
SELECT e.judge, e.score, e.threshold, e.direction, e.passed, max(e.at), count(*), sum(p.passes), sum(p.fails)
FROM people AS p CROSS JOIN evaluations AS e INDEXED BY evaluations_current
    ON e.item_id = p.item_id AND e.metric = :metric AND e.current = 1 AND {OF_JUDGE}
GROUP BY e.judge, e.score, e.threshold, e.direction, e.passed
"""


def scored(connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str) -> list[ScoredItems]:
    """The compared items of a criterion and metric."""
    return list(map(ScoredItems._make, connection.execute(_SCORED, scope.values(criterion, metric))))


_SCALES: Final = f"""
WITH {_PEOPLE}
SELECT e.metric, e.judge, e.threshold,
    min(e.score) FILTER (WHERE abs(e.score) > 0 AND abs(e.score) < 1),
    min(e.score) FILTER (WHERE abs(e.score) > 1 AND abs(e.score) < 10),
    max(abs(e.score))
FROM people AS p CROSS JOIN evaluations AS e INDEXED BY evaluations_current ON e.item_id = p.item_id AND e.current = 1
WHERE e.score IS NOT NULL AND {OF_JUDGE}
GROUP BY e.metric, e.judge, e.threshold
"""


def scales(connection: sqlite3.Connection, scope: Scope, criterion: str) -> dict[str, ScaleCheck]:
    """Thresholds and scales of the compared items of a criterion, by metric."""
    verdicts: dict[str, list[ScoredVerdict]] = {}
    for metric, judge, threshold, *scores in connection.execute(_SCALES, scope.values(criterion)):
        # One score of each size is enough to tell scales apart.
        of_metric = verdicts.setdefault(metric, [])
        of_metric += [ScoredVerdict(judge, threshold, score) for score in scores if score is not None]
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


# ---- judge versions

Judges = Mapping[str, Sequence[VersionCounts]]
"""Judge versions with the counts of their comparisons, by metric."""

_VERSIONS: Final = f"""
WITH {_PEOPLE}
SELECT e.metric, e.judge, min(e.at), count(*), sum(p.passes * e.passed), sum(p.passes * (1 - e.passed)),
    sum(p.fails * (1 - e.passed)), sum(p.fails * e.passed), sum((p.passes + p.fails) * (1 - e.current))
FROM people AS p CROSS JOIN evaluations AS e ON e.item_id = p.item_id AND e.failure = 0
WHERE e.deleted = 0 AND (:metric IS NULL OR e.metric = :metric)
GROUP BY e.metric, e.judge
"""


def judge_versions(connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str | None = None) -> Judges:
    """Judge versions of a criterion, of one metric or of all."""
    judges: dict[str, list[VersionCounts]] = {}
    rows = connection.execute(_VERSIONS, scope.values(criterion, metric))
    for name, judge, first_at, items, tp, fn, tn, fp, superseded in rows:
        counts = Confusion(tp=tp, fn=fn, tn=tn, fp=fp, items=items)
        judges.setdefault(name, []).append(VersionCounts(judge, first_at, counts, superseded))
    return judges


_SUCCESSORS: Final = f"""
WITH {_PEOPLE}
SELECT f.judge, e.metric, count(*)
FROM people AS p
CROSS JOIN evaluations AS e ON e.item_id = p.item_id AND e.failure = 0
CROSS JOIN evaluations AS f INDEXED BY evaluations_current
    ON f.item_id = e.item_id AND f.metric = e.metric AND f.current = 1
WHERE e.deleted = 0 AND e.current = 0 AND e.judge = :judge
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""


def successors(connection: sqlite3.Connection, scope: Scope, criterion: str) -> list[tuple[str, str, int]]:
    """The versions whose verdicts supersede those of the scope's version: version, metric and number of items, most
    items first.
    """
    return connection.execute(_SUCCESSORS, scope.values(criterion)).fetchall()


class VersionPair(NamedTuple):
    """Two judge versions of a metric on the items that both judged."""

    metric: str
    first: str
    second: str
    items: int
    first_only: int
    """Items on which people agree only with the first version."""
    second_only: int
    """Items on which people agree only with the second version."""


_VERSION_PAIRS: Final = f"""
WITH {_PEOPLE},
metrics AS MATERIALIZED (SELECT DISTINCT json_extract(value, '$[0]') AS metric FROM json_each(:pairs))
SELECT e.metric, e.judge, f.judge, count(*),
    sum(e.passed > f.passed AND p.passes > p.fails OR e.passed < f.passed AND p.passes < p.fails),
    sum(e.passed < f.passed AND p.passes > p.fails OR e.passed > f.passed AND p.passes < p.fails)
FROM people AS p CROSS JOIN metrics AS m
CROSS JOIN evaluations AS e ON e.item_id = p.item_id AND e.metric = m.metric AND e.failure = 0
CROSS JOIN evaluations AS f ON f.item_id = e.item_id AND f.metric = e.metric AND f.failure = 0 AND f.judge <> e.judge
WHERE e.deleted = 0 AND f.deleted = 0 AND (e.metric, e.judge, f.judge) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:pairs))
GROUP BY e.metric, e.judge, f.judge
"""


def version_pairs(
    connection: sqlite3.Connection, scope: Scope, criterion: str, pairs: Sequence[tuple[str, str, str]]
) -> list[VersionPair]:
    """Pairs of judge versions, in the order of `pairs`: each a metric and two versions of it."""
    values = {**scope.values(criterion), "pairs": orjson.dumps(pairs).decode()}
    rows = {row[:3]: VersionPair(*row) for row in connection.execute(_VERSION_PAIRS, values)} if pairs else {}
    return [rows.get(pair) or VersionPair(*pair, 0, 0, 0) for pair in pairs]


# ---- all items of the queue


class JudgedItems(NamedTuple):
    """Verdicts of a judge version on a queue's items."""

    first_at: int
    """Time of the first verdict in the window, in ms."""
    evaluated: int
    """Items with a verdict."""
    passed: int
    """Items that the version passes."""


NOTHING_JUDGED: Final = JudgedItems(0, 0, 0)

_JUDGED: Final = """
SELECT e.judge, min(e.at), count(*), sum(e.passed)
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
    sql = "SELECT count(*) FROM queue_items WHERE queue = ? AND deleted = 0"
    (count,) = connection.execute(sql, (scope.queue,)).fetchone()
    return int(count)
