"""Judge versions of each metric and when each gave verdicts, over the items of all queues.

Which queue an item belongs to is only known once somebody annotates it. So a new judge version whose items nobody has
annotated yet is seen here, and nowhere in the comparisons.
"""

import sqlite3
from collections import defaultdict
from typing import Final

from aggregator.statistics.judge_in_use import JudgePeriod, newest_in_use

# Each is answered by one look-up in the index evaluations_judges, however many verdicts a version gave.
_NEXT: Final = """
SELECT metric, judge FROM evaluations INDEXED BY evaluations_judges
WHERE failure = 0 AND deleted = 0 AND (metric, judge) > (?, ?) ORDER BY metric, judge LIMIT 1
"""
_PERIOD: Final = """
SELECT (SELECT at FROM evaluations INDEXED BY evaluations_judges
        WHERE failure = 0 AND deleted = 0 AND metric = ?1 AND judge = ?2 ORDER BY at LIMIT 1),
    (SELECT at FROM evaluations INDEXED BY evaluations_judges
        WHERE failure = 0 AND deleted = 0 AND metric = ?1 AND judge = ?2 ORDER BY at DESC LIMIT 1)
"""


class JudgePeriod(NamedTuple):
    """A judge version and the times of its verdicts."""

    name: str
    first: int
    """Time of the first verdict in ms."""
    last: int
    """Time of the last verdict in ms."""


class JudgeTimeline:
    """Judge versions of each metric, updated from the rows that the store has added.

    A version whose verdicts are all deleted later is kept until the view restarts.
    """

    def __init__(self) -> None:
        self._versions: dict[str, dict[str, JudgePeriod]] = defaultdict(dict)
        self._seen = 0

    def update(self, connection: sqlite3.Connection) -> None:
        """Read the rows that are new in the state that a connection sees."""
        (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM evaluations").fetchone()
        if last < self._seen:
            # A rebuild deleted all rows: ids start at 1 again.
            self._versions.clear()
            self._seen = 0
        for metric, *columns in connection.execute(
            "SELECT metric, judge, min(at), max(at) FROM evaluations WHERE id > ? AND deleted = 0 AND failure = 0 "
            "GROUP BY metric, judge",
            (self._seen,),
        ):
            judge = JudgePeriod(*columns)
            known = self._versions[metric].get(judge.name, judge)
            self._versions[metric][judge.name] = JudgePeriod(
                judge.name, min(judge.first, known.first), max(judge.last, known.last)
            )
        self._seen = last

    def newest(self, metric: str) -> JudgePeriod | None:
        """The version in use that appeared last; None for a metric without verdicts."""
        versions = self._versions.get(metric)
        if not versions:
            return None
        since = max(judge.last for judge in versions.values()) - _IN_USE_MS
        # The name decides between versions that appeared at the same time, so that the answer is stable.
        return max((judge for judge in versions.values() if judge.last >= since), key=lambda j: (j.first, j.name))
