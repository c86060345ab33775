"""The circuit breaker: pauses a worker before a flood of invalid events becomes a flood of dead letters.

After a bad deployment of a producer nearly every event is rejected. A paused worker leaves those events in their source
topic, and goes on looking at them, so that it can report what it holds back. This module is pure and has no clock.

A restart of the paused worker is the consent to reject what it had seen: its next process does not count those events,
also if other workers owned the partition in between (see docs/decisions/0015-half-open-circuit-breaker.md).
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.events.example import RejectedExample

SeenBy = Mapping[str, Mapping[str, int]]
"""By worker and source topic, the offset up to which its open circuit breaker saw events."""


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
    rejected: deque[tuple[int, RejectedExample]]
    """The rejected events within the window, each with its number."""


class CircuitBreaker:
    """The circuit breaker of one worker. It never closes by itself."""

    SHOWN_OFFENDERS = 3

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        self._policy = policy
        self._topics: dict[str, _TopicCounts] = {}
        self.open_reason: str | None = None
        """Why the circuit breaker is open; None while it is closed."""
        self.offenders: tuple[RejectedExample, ...] = ()
        """The first of the rejected events that opened it."""

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

    def rejected(self, topic: str, example: RejectedExample) -> None:
        """Count one rejected event."""
        counts = self._counts_of(topic)
        counts.events += 1
        counts.in_a_row += 1
        counts.rejected.append((counts.events, example))
        self._decide(topic, counts)

    def _counts_of(self, topic: str) -> _TopicCounts:
        counts = self._topics.get(topic)
        if counts is None:
            counts = self._topics[topic] = _TopicCounts(0, 0, deque())
        return counts

    def _decide(self, topic: str, counts: _TopicCounts) -> None:
        policy = self._policy
        while counts.rejected and counts.rejected[0][0] <= counts.events - policy.window:
            counts.rejected.popleft()
        if self.open_reason is not None:
            return
        if counts.in_a_row > policy.in_a_row:
            self._open(f"{counts.in_a_row} events in a row of {topic} were rejected", counts, counts.in_a_row)
        elif counts.events >= policy.window and len(counts.rejected) > policy.share * policy.window:
            rejected = len(counts.rejected)
            self._open(f"{rejected} of the last {policy.window} events of {topic} were rejected", counts, rejected)

    def _open(self, reason: str, counts: _TopicCounts, last: int) -> None:
        self.open_reason = reason
        opened_it = [example for _, example in counts.rejected][-last:]
        self.offenders = tuple(opened_it[: self.SHOWN_OFFENDERS])


@dataclass(slots=True)
class HeldBack:
    """What the open circuit breaker has seen of one partition, and holds back."""

    looked: dict[str, int] = field(default_factory=dict)
    """By source topic, the next offset to look at."""
    invalid: int = 0
    """Number of events that would become dead letters."""
    last: str | None = None
    """Place of the last of them."""

    def saw(self, topic: str, following: int, invalid: int, last: str | None) -> None:
        """Note that the events before offset `following` were looked at."""
        self.looked[topic] = following
        self.invalid += invalid
        self.last = last or self.last


def seen_offsets(name: str, held: HeldBack, earlier: SeenBy, positions: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """What each worker saw and nobody has processed yet: this one, called `name`, now and `earlier`, and the others."""
    own = earlier.get(name, {})
    latest = {topic: max(held.looked.get(topic, 0), own.get(topic, 0)) for topic in {*held.looked, *own}}
    left = {
        worker: {topic: offset for topic, offset in sorted(seen.items()) if offset > positions.get(topic, 0)}
        for worker, seen in sorted({**earlier, name: latest}.items())
    }
    return {worker: seen for worker, seen in left.items() if seen}
