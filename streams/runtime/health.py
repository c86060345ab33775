"""Whether a worker is ready and alive, and the detector of a worker that only looks alive."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

STALL_SECONDS: Final = 45.0
"""Time without progress after which a worker is stalled."""
STALE_SECONDS: Final = 15.0
"""Time after which waiting events and checkpoints are reported, as the view reports a stale state."""
MEMBERSHIP_SECONDS: Final = 45.0
"""Time outside of the group after which a worker is stalled."""


@dataclass(slots=True)
class Health:
    """What the HTTP server of a worker reports. The worker writes these attributes, any thread may read them."""

    restored: bool = False
    """Whether all owned partitions are restored and events are processed; also of a worker without partitions."""
    broker: bool = True
    """Whether the broker answered the last request of the watchdog."""
    circuit_breaker: str | None = None
    """Why the circuit breaker is open."""
    stalled: str | None = None
    """Why the watchdog ends the worker."""
    checkpoint_since: float | None = None
    """Since when the running checkpoint waits for the broker, in monotonic seconds."""
    late: Callable[[], Mapping[int, tuple[str, bool]]] = dict
    """Returns, by partition whose events have waited too long, why, and whether they are being processed meanwhile."""
    partitions: Callable[[], Mapping[int, str | None]] = dict
    """Returns, by owned partition, why it is in quarantine, and None for one that is not."""
    delayed: Callable[[], Mapping[int, float]] = dict
    """Returns, by partition whose changes wait because its tallies are large, the seconds until its next checkpoint."""

    rebuilding: Callable[[], Mapping[int, int]] = dict
    """Returns, by owned partition, the offsets of evaluations that are read again while events are processed."""
    waiting: Callable[[], Mapping[str, object] | None] = lambda: None
    """Returns what the store of waiting evaluations is like; None where evaluations of unknown items are rows."""

    @property
    def quarantined(self) -> dict[int, str]:
        """Why partitions are in quarantine, by partition. A worker with others is ready: it processes their events."""
        return {partition: reason for partition, reason in self.partitions().items() if reason is not None}

    @property
    def behind(self) -> dict[int, str]:
        """Why events have waited for longer than the page counts as fresh, in words by partition."""
        return {partition: reason for partition, (reason, _) in self.late().items()}

    @property
    def reasons(self) -> list[str]:
        """Why the worker is not ready; empty when it is."""
        reasons = []
        quarantined = self.quarantined
        if quarantined and len(quarantined) == len(self.partitions()):
            reasons.append("all its partitions are in quarantine")
        if not self.restored:
            reasons.append("joining the group or restoring from the ledger")
        if not self.broker:
            reasons.append("the broker does not answer")
        if self.checkpoint_since is not None and (seconds := time.monotonic() - self.checkpoint_since) > STALE_SECONDS:
            why = "see its log, and whether ledger and tallies have enough replicas in sync"
            reasons.append(f"the broker has not acknowledged a checkpoint for {seconds:.0f} s: {why}")
        if self.circuit_breaker is not None:
            reasons.append(f"the circuit breaker is open: {self.circuit_breaker}")
        else:
            late = self.late().items()
            reasons += [f"partition {partition}: {reason}" for partition, (reason, processed) in late if not processed]
        if self.stalled is not None:
            reasons.append(self.stalled)
        return reasons

    @property
    def ready(self) -> bool:
        """Whether events are processed."""
        return not self.reasons

    @property
    def live(self) -> bool:
        """Whether the process may continue; False asks a supervisor for a restart."""
        return self.stalled is None


@dataclass(slots=True)
class StallDetector:
    """Detects a worker without membership or without progress. Pure; `now` is in monotonic seconds.

    The limits are longer than a rebalance (30 s) and shorter than the 60 s within which a stalled worker must end.
    """

    stall_seconds: float = STALL_SECONDS
    membership_seconds: float = MEMBERSHIP_SECONDS
    _progress: int = -1
    _moved_at: float = field(default=-1.0)
    _member_at: float = field(default=-1.0)

    def excuse(self, now: float) -> None:
        """Start all times again, because no progress was possible until now."""
        self._moved_at = self._member_at = now

    def observe(self, now: float, *, progress: int, lag: int, member: bool, paused: bool = False) -> str | None:
        """Take the state of the worker; returns why it is stalled, or None.

        Args:
            now: monotonic seconds.
            progress: a number that changes with every commit and every restored row.
            lag: number of source offsets that are not committed.
            member: whether the worker is a member of the group.
            paused: whether the worker waits for an operator.
        """
        if self._progress != progress or lag == 0 or paused or self._moved_at < 0:
            self._progress = progress
            self._moved_at = now
        if member or self._member_at < 0:
            self._member_at = now
        if now - self._member_at >= self.membership_seconds:
            return f"not a member of the consumer group for {now - self._member_at:.0f} s"
        if now - self._moved_at >= self.stall_seconds:
            return f"{lag} events wait, and no event was committed and no row restored for {now - self._moved_at:.0f} s"
        return None
