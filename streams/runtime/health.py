"""Whether a worker is ready and alive, and the watchdog that ends a worker which only looks alive."""

from dataclasses import dataclass, field
from typing import Final

STALL_SECONDS: Final = 45.0
MEMBERSHIP_SECONDS: Final = 45.0


@dataclass(slots=True)
class Health:
    """What the HTTP server of a worker tells. Plain attributes: written by the worker, read from any thread.

    `restored`: the shards of all owned partitions are whole and events are processed (a worker that owns none is
    restored too). `broker`: the broker answered the last time. `circuit_breaker`: why the circuit breaker is open. `stalled`: what the
    watchdog sees.
    """

    restored: bool = False
    broker: bool = True
    circuit_breaker: str | None = None
    stalled: str | None = None

    @property
    def reasons(self) -> list[str]:
        """Why the worker is not ready; empty when it is."""
        reasons = []
        if not self.restored:
            reasons.append("joining the group or restoring from the ledger")
        if not self.broker:
            reasons.append("the broker does not answer")
        if self.circuit_breaker is not None:
            reasons.append(f"the circuit breaker is open: {self.circuit_breaker}")
        if self.stalled is not None:
            reasons.append(self.stalled)
        return reasons

    @property
    def ready(self) -> bool:
        """Whether events are processed."""
        return not self.reasons

    @property
    def live(self) -> bool:
        """Whether waiting may help; False asks for a restart."""
        return self.stalled is None


@dataclass(slots=True)
class StallDetector:
    """Finds a mute worker: alive, and without membership or without progress. Pure; `now` is in seconds.

    It must speak before the outside gives up waiting (60 s), and only after a rebalance had its time (30 s).
    """

    stall_seconds: float = STALL_SECONDS
    membership_seconds: float = MEMBERSHIP_SECONDS
    _progress: int = -1
    _moved_at: float = field(default=-1.0)
    _member_at: float = field(default=-1.0)

    def excuse(self, now: float) -> None:
        """Nothing was to be expected until now: the time starts anew."""
        self._moved_at = self._member_at = now

    def observe(self, now: float, *, progress: int, lag: int, member: bool, paused: bool = False) -> str | None:
        """Look at the worker; returns what is wrong, or None.

        `progress` changes with every commit and every restored row, `lag` is how many source offsets wait to be
        committed, `paused` is a worker that waits for an operator.
        """
        if self._progress != progress or lag == 0 or paused or self._moved_at < 0:
            self._progress = progress
            self._moved_at = now
        if member or self._member_at < 0:
            self._member_at = now
        if now - self._member_at >= self.membership_seconds:
            return f"not a member of the consumer group for {now - self._member_at:.0f} s"
        if now - self._moved_at >= self.stall_seconds:
            return f"{lag} events wait and nothing was committed or restored for {now - self._moved_at:.0f} s"
        return None
