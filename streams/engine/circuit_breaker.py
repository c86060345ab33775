"""The circuit breaker: stops a worker before a flood of bad events becomes a flood of dead letters.

A bad deployment of a producer rejects nearly everything; pausing keeps those events in their source topic, where they
are processed after the fix. `CircuitBreakerPolicy` is the rule, `CircuitBreaker` the state of one worker; pure, no clock.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CircuitBreakerPolicy:
    """Open after more than `in_a_row` rejections in a row, or more than `share` of the last `window` events of a topic.

    The share counts only once `window` events were seen.
    """

    in_a_row: int = 20
    share: float = 0.05
    window: int = 1000


@dataclass(slots=True)
class _Seen:
    events: int
    in_a_row: int
    rejected_at: deque[int]


class CircuitBreaker:
    """What a worker has seen of each topic. `open_reason` is the explanation once it is open; it never closes by itself."""

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        self._policy = policy
        self._seen: dict[str, _Seen] = {}
        self.open_reason: str | None = None

    def accepted(self, topic: str, count: int = 1) -> None:
        """That many events in a row were accepted."""
        if count <= 0:
            return
        seen = self._of(topic)
        seen.in_a_row = 0
        window = self._policy.window
        if seen.events < window <= seen.events + count:
            # The moment the window is full for the first time.
            skipped = window - seen.events
            seen.events = window
            self._judge(topic, seen)
            count -= skipped
        seen.events += count

    def rejected(self, topic: str) -> None:
        """One event was rejected."""
        seen = self._of(topic)
        seen.events += 1
        seen.in_a_row += 1
        seen.rejected_at.append(seen.events)
        self._judge(topic, seen)

    def _of(self, topic: str) -> _Seen:
        seen = self._seen.get(topic)
        if seen is None:
            seen = self._seen[topic] = _Seen(0, 0, deque())
        return seen

    def _judge(self, topic: str, seen: _Seen) -> None:
        policy = self._policy
        while seen.rejected_at and seen.rejected_at[0] <= seen.events - policy.window:
            seen.rejected_at.popleft()
        if self.open_reason is not None:
            return
        if seen.in_a_row > policy.in_a_row:
            self.open_reason = f"{seen.in_a_row} events in a row of {topic} were rejected"
        elif seen.events >= policy.window and len(seen.rejected_at) > policy.share * policy.window:
            self.open_reason = f"{len(seen.rejected_at)} of the last {policy.window} events of {topic} were rejected"
