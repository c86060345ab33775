"""Judge versions of each metric and when each gave verdicts, over all items.

Which queue an item belongs to is only known once somebody annotates it, and until then its evaluations are no rows. So
a new judge version whose items nobody has annotated yet is seen in what the workers report of waiting evaluations, and
nowhere in the comparisons.
"""

import sqlite3
from collections import defaultdict
from typing import Final, cast

from aggregator.statistics.judge_in_use import JudgePeriod, newest_in_use

# Each is answered by one look-up in the index evaluations_judges, however many verdicts a version gave. Two statements
# find the next version, because `(metric, judge) > (?, ?)` would walk over all verdicts of the version before.
_NEXT_JUDGE: Final = """
SELECT metric, judge FROM evaluations INDEXED BY evaluations_judges
WHERE failure = 0 AND deleted = 0 AND metric = ? AND judge > ? ORDER BY judge LIMIT 1
"""
_NEXT_METRIC: Final = """
SELECT metric, judge FROM evaluations INDEXED BY evaluations_judges
WHERE failure = 0 AND deleted = 0 AND metric > ? ORDER BY metric, judge LIMIT 1
"""
_PERIOD: Final = """
SELECT (SELECT at FROM evaluations INDEXED BY evaluations_judges
        WHERE failure = 0 AND deleted = 0 AND metric = ?1 AND judge = ?2 ORDER BY at LIMIT 1),
    (SELECT at FROM evaluations INDEXED BY evaluations_judges
        WHERE failure = 0 AND deleted = 0 AND metric = ?1 AND judge = ?2 ORDER BY at DESC LIMIT 1)
"""

_WAITING: Final = "SELECT metric, judge, min(first_at), max(last_at) FROM waiting_judges GROUP BY metric, judge"


def judges_in_use(connection: sqlite3.Connection) -> dict[str, JudgePeriod]:
    """By metric the newest judge version in use."""
    return {
        metric: newest
        for metric, versions in judge_periods(connection).items()
        if (newest := newest_in_use(versions.values())) is not None
    }


def judge_periods(connection: sqlite3.Connection) -> dict[str, dict[str, JudgePeriod]]:
    """The periods of all judge versions by metric and version; a pure function of the verdicts that stand in the state
    that a connection sees, and of those that wait in it.
    """
    periods: dict[str, dict[str, JudgePeriod]] = defaultdict(dict)
    # A name of a metric is never empty, so the first version is after this.
    metric, judge = "", ""
    while (version := _next_version(connection, metric, judge)) is not None:
        metric, judge = version
        first_at, last_at = connection.execute(_PERIOD, version).fetchone()
        periods[metric][judge] = JudgePeriod(judge, first_at, last_at)
    for metric, judge, first_at, last_at in connection.execute(_WAITING):
        period = periods[metric].get(judge, JudgePeriod(judge, first_at, last_at))
        periods[metric][judge] = JudgePeriod(judge, min(period.first_at, first_at), max(period.last_at, last_at))
    return periods


def _next_version(connection: sqlite3.Connection, metric: str, judge: str) -> tuple[str, str] | None:
    row = connection.execute(_NEXT_JUDGE, (metric, judge)).fetchone()
    return cast("tuple[str, str] | None", row or connection.execute(_NEXT_METRIC, (metric,)).fetchone())
