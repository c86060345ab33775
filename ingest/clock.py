"""The clock that stamps records, as acknowledgements show it.

Workers compare `at` with the timestamp of the record, so the same clock decides here: the broker's, or this machine's
until the broker's is known, and where the broker keeps the producer's timestamp.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_WINDOW_SECONDS: Final = 30.0


def _steady_seconds() -> float:
    # It goes on while the machine sleeps. `time.monotonic` does not: events of the time after would be too far ahead.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class BrokerClock:
    """Estimates the broker's time: never too late once it is known, and early by the delay of the fastest recent
    acknowledgement.
    """

    steady: Callable[[], float] = _steady_seconds
    """Returns seconds. A step of this machine's clock does not move it."""
    wall: Callable[[], int] = _wall_ms
    """Returns this machine's time, in milliseconds."""
    _offset: float | None = None
    """Largest difference of broker and `steady`, in milliseconds, of this window."""
    _previous: float | None = None
    """The same of the window before."""
    _since: float = field(default=0.0)
    _is_own: bool = False

    def use_own(self) -> None:
        """Use this machine's clock, because the broker keeps the timestamp of the producer."""
        self._is_own = True

    def observe(self, timestamp: int) -> None:
        """Take the broker's timestamp of a record that it has just acknowledged, in milliseconds."""
        now = self.steady()
        # The record was appended before its acknowledgement came, so the difference is too small if anything.
        offset = timestamp - now * 1000
        if self._offset is None or now - self._since >= _WINDOW_SECONDS:
            self._offset, self._previous, self._since = offset, self._offset, now
        else:
            self._offset = max(self._offset, offset)

    def now(self) -> int:
        """The time that a record of now gets, in milliseconds."""
        if self._is_own or self._offset is None:
            return self.wall()
        # Without a recent acknowledgement the last one holds: clocks drift by seconds a day.
        offset = self._offset if self._previous is None else max(self._offset, self._previous)
        return int(self.steady() * 1000 + offset)
