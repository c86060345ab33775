"""Up to which time a partition's tallies are complete, and why that is not the present: for its checkpoint markers.

For each source topic, everything that the broker has from before a time is processed. That time is the latest of:

- when a fetch response last showed the source's end where the position is: the partition was caught up then;
- the broker's timestamp of the newest processed record: the broker numbers records in the order of their timestamps;
- what the markers of earlier owners stated, read at the restore.

The end of a source is its high watermark. Records of an open transaction count, and so does everything after them,
which no consumer gets before the transaction ends. A partition is complete up to the least of its sources' times.

So a restart, a fetch that fails, an open circuit breaker and an open transaction leave the time where it was.
Pure, except for `Now.read`.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aggregator.tallies import Behind
from streams.kafka.watermarks import Watermarks

NEVER: Final = 0
"""The time of a partition of which nothing is known."""
_SKEW_MS: Final = 5_000
"""How far a record's timestamp may be ahead of this machine's clock. On the embedded broker, and in a topic with
`CreateTime`, a producer can set any.
"""
_FLOAT_ERROR_MS: Final = 0.001
"""What times of today lose as floating-point numbers."""


@dataclass(frozen=True, slots=True)
class Now:
    """The present by both clocks of this machine."""

    wall_ms: float
    monotonic: float
    """In seconds."""

    @classmethod
    def read(cls) -> "Now":
        """Read both clocks."""
        return cls(time.time() * 1000, time.monotonic())


class Completeness:
    """The completeness of one owned partition. Changed on the event loop only; may be read from any thread."""

    __slots__ = ("_behind", "_caught_up", "_floor", "_processed")

    def __init__(self) -> None:
        self._floor = NEVER
        self._caught_up: dict[str, float] = {}
        """By source topic, in monotonic seconds: a clock that is set does not change what was known."""
        self._processed: dict[str, int] = {}
        """By source topic, the broker's timestamp of the newest processed record."""
        self._behind: dict[str, Behind | None] = {}

    def restored(self, at: int) -> None:
        """A marker of this ledger states that the partition is complete up to `at`."""
        self._floor = max(self._floor, at)

    def processed(self, topic: str, timestamp: int, now: Now) -> None:
        """Records of a source up to one with this timestamp are processed. A timestamp of the future is ignored."""
        if timestamp <= now.wall_ms + _SKEW_MS:
            self._processed[topic] = max(timestamp, self._processed.get(topic, NEVER))

    def newest(self, topic: str) -> int | None:
        """The broker's timestamp of the newest processed record of a source; None without one."""
        return self._processed.get(topic)

    def observe(self, positions: Mapping[str, int], watermarks: Mapping[str, Watermarks | None], now: Now) -> None:
        """Compare the positions with the watermarks of the last fetch responses; None for a source without one."""
        for topic, position in positions.items():
            marks = watermarks[topic]
            self._behind[topic] = _behind(position, marks)
            if marks is not None and position >= marks.high:
                seen = now.monotonic - max(0, now.wall_ms - marks.at) / 1000
                self._caught_up[topic] = max(seen, self._caught_up.get(topic, seen))

    def at(self, now: Now) -> int:
        """The time up to which the partition is complete, in milliseconds; `NEVER` before anything is observed."""
        return min((self._at(topic, now) for topic in tuple(self._behind)), default=self._floor)

    def behind(self, now: Now) -> Behind | None:
        """Why events of the source with the earliest time wait; None when every source is caught up."""
        behind = {topic: reason for topic, reason in tuple(self._behind.items()) if reason is not None}
        return behind[min(behind, key=lambda topic: self._at(topic, now))] if behind else None

    def _at(self, topic: str, now: Now) -> int:
        caught_up = self._caught_up.get(topic)
        known = max(self._floor, self._processed.get(topic, NEVER))
        if caught_up is None:
            return known
        # Cut, not rounded: an event may wait from the next millisecond.
        return max(known, math.floor(now.wall_ms - (now.monotonic - caught_up) * 1000 + _FLOAT_ERROR_MS))


def _behind(position: int, marks: Watermarks | None) -> Behind | None:
    if marks is None:
        return "restoring"
    if position >= marks.high:
        return None
    return "open_transaction" if position >= marks.stable else "catching_up"
