"""The circuit breaker: pauses a worker before a flood of invalid events becomes a flood of dead letters.

After a bad deployment of a producer nearly every event is rejected. A paused worker leaves those events in their source
topic. This module is pure and has no clock.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CircuitBreakerPolicy:
    """When the circuit breaker opens. Each topic is counted on its own."""

    in_a_row: int = 20
    """Most consecutive rejections."""
    share: float = 0.05
    """Largest share of rejections among the last `window` events, once there were as many."""
    window: int = 1000
    """Number of events for `share`."""


@dataclass(slots=True)
class _TopicCounts:
    events: int
    """Events so far."""
    in_a_row: int
    """Consecutive rejections up to the last event."""
    rejected_at: deque[int]
    """Numbers of the rejected events within the window."""


class CircuitBreaker:
    """The circuit breaker of one worker. It never closes by itself."""

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        self._policy = policy
        self._topics: dict[str, _TopicCounts] = {}
        self.open_reason: str | None = None
        """Why the circuit breaker is open; None while it is closed."""

    def accepted(self, topic: str, count: int = 1) -> None:
        """Count consecutive accepted events."""
        if count <= 0:
            return
        counts = self._counts_of(topic)
        counts.in_a_row = 0
        window = self._policy.window
        if counts.events < window <= counts.events + count:
            # Decide at the event that fills the window for the first time.
            skipped = window - counts.events
            counts.events = window
            self._decide(topic, counts)
            count -= skipped
        counts.events += count

    def rejected(self, topic: str) -> None:
        """Count one rejected event."""
        counts = self._counts_of(topic)
        counts.events += 1
        counts.in_a_row += 1
        counts.rejected_at.append(counts.events)
        self._decide(topic, counts)

    def _counts_of(self, topic: str) -> _TopicCounts:
        counts = self._topics.get(topic)
        if counts is None:
            counts = self._topics[topic] = _TopicCounts(0, 0, deque())
        return counts

    def _decide(self, topic: str, counts: _TopicCounts) -> None:
        policy = self._policy
        while counts.rejected_at and counts.rejected_at[0] <= counts.events - policy.window:
            counts.rejected_at.popleft()
        if self.open_reason is not None:
            return
        if counts.in_a_row > policy.in_a_row:
            self.open_reason = f"{counts.in_a_row} events in a row of {topic} were rejected"
        elif counts.events >= policy.window and len(counts.rejected_at) > policy.share * policy.window:
            self.open_reason = f"{len(counts.rejected_at)} of the last {policy.window} events of {topic} were rejected"
