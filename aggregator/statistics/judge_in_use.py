"""Which judge version of a metric is in use: the one that the gate decides on.

"May this metric stand in for people?" is a question about the judge that will give the next verdict, not about a mix of
all versions that ever gave one.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from aggregator.days import DAY_MS

IN_USE_MS: Final = DAY_MS
"""A version whose last verdict is older than this before the metric's last one is not in use any more."""


class JudgePeriod(NamedTuple):
    """A judge version of a metric, and the times of its first and last standing verdict over all items."""

    judge: str
    """Judge version; empty where events carry none."""
    first_at: int
    """Milliseconds since epoch."""
    last_at: int
    """Milliseconds since epoch."""


def newest_in_use(periods: Iterable[JudgePeriod]) -> JudgePeriod | None:
    """The version in use whose first verdict came last, ties by name; None without versions.

    A pure function of standing verdicts: arrival, restarts and two versions side by side cannot make it flip.
    """
    versions = list(periods)
    since = max((version.last_at for version in versions), default=0) - IN_USE_MS
    in_use = (version for version in versions if version.last_at >= since)
    return max(in_use, key=lambda version: (version.first_at, version.judge), default=None)
