"""The judge version of a metric that is in use, which the gate judges.

Whether a metric may stand in for people depends on the judge that makes the next verdict, not on a mix of all versions.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from aggregator.days import DAY_MS

IN_USE_MS: Final = DAY_MS
"""A version is in use while its last verdict is at most this much older than the last verdict of the metric."""


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

    A pure function of standing verdicts: order of arrival, restarts, and two versions in parallel do not change it back
    and forth.
    """
    versions = list(periods)
    since = max((version.last_at for version in versions), default=0) - IN_USE_MS
    in_use = (version for version in versions if version.last_at >= since)
    return max(in_use, key=lambda version: (version.first_at, version.judge), default=None)
