"""The clock by which waiting evaluations expire. This module is pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceReach:
    """How far a source partition is processed, as of an acknowledged checkpoint."""

    newest: int | None
    """The broker's time of the newest processed record, in milliseconds; None while none is known."""
    lags: bool
    """Whether records are not processed yet, as far as the last fetch reported."""


def clock(sources: Iterable[SourceReach], wall_ms: int) -> int | None:
    """The time that all sources have reached; None while it is not known.

    A source that lags has reached its newest processed record: what waits for its next annotation must be there. Any
    other has reached the newest record of all. It is never later than this machine's clock, because a producer can set
    any time in a topic with `CreateTime`.

    >>> clock([SourceReach(50, lags=True), SourceReach(90, lags=False), SourceReach(None, lags=False)], 100)
    50
    """
    known = list(sources)
    newest = max((source.newest for source in known if source.newest is not None), default=None)
    reached = [source.newest if source.lags else newest for source in known]
    times = [time for time in reached if time is not None]
    if len(times) < len(reached) or not times:
        return None
    return min(*times, wall_ms)
