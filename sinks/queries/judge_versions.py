"""Judge versions of each metric, and when each gave verdicts: which one is the newest of those in use.

Which queue an item belongs to is only known once somebody annotates it. So a new judge version that nobody has
labelled yet is seen here, over all items, and nowhere in the comparisons.
"""

import sqlite3
from collections import defaultdict
from typing import Final, NamedTuple

from aggregator.days import DAY_MS

_IN_USE_MS: Final = DAY_MS
"""A version whose last verdict is older than this before the metric's last one is not in use any more."""


class JudgePeriod(NamedTuple):
    """A judge version, and the times of its first and last verdict in ms."""

    name: str
    first: int
    last: int


class JudgeTimeline:
    """Verdicts' times by metric and judge version, kept up to date from the rows that a store has added since.

    A version whose verdicts were all retracted later stays known until the view starts again.
    """

    def __init__(self) -> None:
        self._versions: dict[str, dict[str, JudgePeriod]] = defaultdict(dict)
        self._seen = 0

    def update(self, connection: sqlite3.Connection) -> None:
        """Look at the rows that are new in the state that a connection sees."""
        (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM evaluations").fetchone()
        if last < self._seen:
            # The rows were dropped and are read again: numbers start anew.
            self._versions.clear()
            self._seen = 0
        for metric, *found in connection.execute(
            "SELECT metric, judge, min(at), max(at) FROM evaluations WHERE id > ? AND deleted = 0 AND failure = 0 "
            "GROUP BY metric, judge",
            (self._seen,),
        ):
            judge = JudgePeriod(*found)
            known = self._versions[metric].get(judge.name, judge)
            self._versions[metric][judge.name] = JudgePeriod(
                judge.name, min(judge.first, known.first), max(judge.last, known.last)
            )
        self._seen = last

    def newest(self, metric: str) -> JudgePeriod | None:
        """Of the versions in use the one that appeared last; None for a metric without verdicts."""
        versions = self._versions.get(metric)
        if not versions:
            return None
        since = max(judge.last for judge in versions.values()) - _IN_USE_MS
        # Of two that appeared at once the name decides: any rule, as long as it is always the same.
        return max((judge for judge in versions.values() if judge.last >= since), key=lambda j: (j.first, j.name))
