"""How many events were rejected in the last hour, by reason: what the page and the API show of the dead letters."""

from collections import Counter, defaultdict
from typing import Final

from streams.events.reasons import Reason

HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
_REASONS: Final = {reason.value for reason in Reason}
OTHER: Final = "other"
"""Stands for reasons that this release does not have."""


class RecentRejections:
    """Counts rejected events by minute and reason. Changed on the event loop only; may be read from any thread."""

    def __init__(self) -> None:
        self._minutes: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def note(self, timestamp: int, reason: str, now: int) -> None:
        """Count an event that was rejected at this time. Times are in milliseconds; one far from `now` is ignored."""
        if abs(now - timestamp) > HOUR_MS:
            return
        self._minutes[timestamp // _MINUTE_MS][reason if reason in _REASONS else OTHER] += 1
        for minute in [minute for minute in self._minutes if minute < (now - HOUR_MS) // _MINUTE_MS]:
            del self._minutes[minute]

    def by_reason(self, now: int) -> dict[str, int]:
        """Number of events by reason in the hour before `now`, in milliseconds; those with most first."""
        since = (now - HOUR_MS) // _MINUTE_MS
        counts: Counter[str] = Counter()
        for minute, reasons in list(self._minutes.items()):
            if minute > since:
                counts.update(dict(reasons))
        return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
