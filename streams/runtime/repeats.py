"""Reports something that repeats immediately, and then once per some seconds with a count. Pure."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

MOST_KINDS: Final = 1_000
"""Kinds that are remembered. What has more kinds than this is reported together."""


@dataclass(slots=True)
class Repeats:
    """What was reported when, by kind.

    Args:
        seconds: the least time between two reports of a kind.
    """

    seconds: float
    _reported: dict[Hashable, float] = field(default_factory=dict)
    _held_back: dict[Hashable, int] = field(default_factory=dict)

    def due(self, kind: Hashable, now: float) -> int | None:
        """Note that it happened `now`, in seconds.

        Returns how often it happened since the last report, this time included; None when it is too early for a report.
        """
        if kind not in self._reported and len(self._reported) >= MOST_KINDS:
            kind = None
        count = self._held_back.pop(kind, 0) + 1
        if now < self._reported.get(kind, float("-inf")) + self.seconds:
            self._held_back[kind] = count
            return None
        self._reported[kind] = now
        return count
