"""Judge versions of metrics and when each gave verdicts, over all items.

Which queue an item belongs to is only known once somebody annotates it, and until then its evaluations are no rows. So
a new judge version whose items nobody has annotated yet is seen in what the workers report of waiting evaluations, and
nowhere in the comparisons.

A producer may name a new version in every evaluation. So nothing here reads all versions of a metric.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from aggregator.statistics.judge_in_use import IN_USE_MS, JudgePeriod, newest_in_use

# A query for each next one: DISTINCT would read all versions.
_NEXT_METRIC: Final = """
SELECT min(metric) FROM (
    SELECT min(metric) AS metric FROM judge_periods WHERE metric > ?1
    UNION ALL SELECT min(metric) FROM waiting_judges WHERE metric > ?1)
"""

# The reports of all partitions have a few hundred versions.
_WAITING: Final = """
SELECT w.judge, min(min(w.first_at), coalesce(p.first_at, min(w.first_at))),
    max(max(w.last_at), coalesce(p.last_at, max(w.last_at)))
FROM waiting_judges AS w LEFT JOIN judge_periods AS p ON p.metric = w.metric AND p.judge = w.judge
WHERE w.metric = ? GROUP BY w.judge
"""
_LATEST: Final = """
SELECT judge, first_at, last_at FROM judge_periods INDEXED BY judge_periods_last
WHERE metric = ? ORDER BY last_at DESC LIMIT 1
"""
_NEWEST: Final = """
SELECT judge, first_at, last_at FROM judge_periods AS p INDEXED BY judge_periods_first
WHERE metric = ? AND last_at >= ?
    AND NOT EXISTS (SELECT 1 FROM waiting_judges AS w WHERE w.metric = p.metric AND w.judge = p.judge)
ORDER BY first_at DESC, judge DESC LIMIT 1
"""
_PERIOD: Final = """
SELECT min(first_at), max(last_at) FROM (
    SELECT first_at, last_at FROM judge_periods WHERE metric = ?1 AND judge = ?2
    UNION ALL SELECT first_at, last_at FROM waiting_judges WHERE metric = ?1 AND judge = ?2)
"""


def judged_metrics(connection: sqlite3.Connection) -> Iterator[str]:
    """The metrics that have a judge version, in the order of their names."""
    # A name of a metric is never empty, so the first is after this.
    metric = ""
    while (metric := connection.execute(_NEXT_METRIC, (metric,)).fetchone()[0]) is not None:
        yield metric


def judges_in_use(connection: sqlite3.Connection, metrics: Collection[str]) -> dict[str, JudgePeriod]:
    """By metric, of these, the newest judge version in use: `newest_in_use` of the periods of all its versions.

    A pure function of the verdicts that stand in the state that a connection sees, and of those that wait in it.
    """
    found = ((metric, _newest_in_use(connection, metric)) for metric in metrics)
    return {metric: newest for metric, newest in found if newest is not None}


def _newest_in_use(connection: sqlite3.Connection, metric: str) -> JudgePeriod | None:
    waiting = {period.judge: period for period in _periods(connection, _WAITING, metric)}
    latest = {period.judge: period for period in _periods(connection, _LATEST, metric)}
    versions = {**latest, **waiting}
    since = max((period.last_at for period in versions.values()), default=0) - IN_USE_MS
    return newest_in_use([*versions.values(), *_periods(connection, _NEWEST, metric, since)])


def judge_periods(
    connection: sqlite3.Connection, versions: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], JudgePeriod]:
    """The periods of judge versions by metric and version, without those that have no verdict."""
    periods = {}
    for metric, judge in versions:
        first_at, last_at = connection.execute(_PERIOD, (metric, judge)).fetchone()
        if first_at is not None:
            periods[metric, judge] = JudgePeriod(judge, first_at, last_at)
    return periods


def _periods(connection: sqlite3.Connection, statement: str, *values: str | int) -> Iterator[JudgePeriod]:
    return map(JudgePeriod._make, connection.execute(statement, values))
