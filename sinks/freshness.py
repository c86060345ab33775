"""Whether the state that a view serves is fresh, and if not, why: the one place that decides it.

A partition is complete up to a time: the present while its worker has processed everything that the source topics have,
else the broker's timestamp of the oldest event that it has not processed. The state is stale when a partition is
complete only up to a time more than `stale_after_s` ago, and also when that time cannot be trusted:

- no checkpoint marker of a partition has arrived for `stale_after_s` of the view's own monotonic clock, whichever times
  the markers had;
- a clock is wrong: a marker's time is ahead of the view's clock, or of the broker's clock when the marker was appended;
- a part of the view holds a partition: it cannot read it, so it serves its last good state;
- a worker has a partition in quarantine, as the markers of its other partitions report.

The reader feeds a `Freshness`; page, API, `/readyz` and gauges show what it returns.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aggregator.days import in_words
from aggregator.tallies import WAITING_WORDS, CheckpointMarker

SKEW_SECONDS: Final = 5.0
"""Difference between two clocks above which one of them is wrong."""


class StaleCause(StrEnum):
    """Why a state is stale. The words of a checkpoint marker's `behind` are causes too."""

    NO_CHECKPOINT = "no_checkpoint"
    """A partition has no checkpoint marker yet."""
    HELD = "held"
    """The view cannot read a partition."""
    QUARANTINE = "quarantine"
    """A worker has a partition in quarantine."""
    CLOCK = "clock"
    """Two clocks differ."""
    SILENT = "silent"
    """No checkpoint marker arrives."""
    CATCHING_UP = "catching_up"
    """A worker processes events that have waited."""
    RESTORING = "restoring"
    """A worker has restored the partition and processed nothing since."""
    CIRCUIT_BREAKER = "circuit_breaker"
    """A worker's circuit breaker is open."""
    OPEN_TRANSACTION = "open_transaction"
    """A producer's transaction is open in a source topic."""
    OTHER = "other"
    """Events wait, for a reason that this release does not know."""


@dataclass(frozen=True, slots=True)
class Staleness:
    """Whether a state is stale, and why."""

    cause: StaleCause | None = None
    """None for a fresh state."""
    reason: str | None = None
    """The cause in words, with the partition; None for a fresh state."""

    @property
    def stale(self) -> bool:
        """Whether the state is stale."""
        return self.cause is not None


FRESH: Final = Staleness()


@dataclass(frozen=True, slots=True)
class _Closed:
    """The last checkpoint marker of a partition that was applied since the view started."""

    received: float | None
    """In monotonic seconds; None when the log had it before the view began to read: then nobody knows."""
    behind: str | None
    ahead_s: float
    """By how much the marker's time was ahead of the broker's clock; negative when it was late."""
    written: int
    """When it was written, in milliseconds by the broker's clock, or else by the worker's."""
    quarantined: Mapping[str, str]
    """As in the marker."""


class Freshness:
    """What a view knows about the freshness of each partition. Written by the reader, read from any thread.

    Args:
        stale_after_s: age in seconds at which a state is stale.
        monotonic: returns monotonic seconds.
    """

    def __init__(self, stale_after_s: float = 15.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stale_after_s = stale_after_s
        self._monotonic = monotonic
        self._expected: frozenset[int] = frozenset()
        self._since = monotonic()
        self._closed: dict[int, _Closed] = {}
        self._held: dict[int | None, str] = {}
        self._broker: tuple[int, float] | None = None
        """The broker's timestamp of the last marker that arrived, in milliseconds, and when, in monotonic seconds."""

    # ---- what the reader notes

    def expect(self, partitions: Collection[int]) -> None:
        """The topics have these partitions: each must have a recent checkpoint marker."""
        self._expected = frozenset(partitions)
        self._since = self._monotonic()

    def closed(self, partition: int, marker: CheckpointMarker, appended: int | None, *, arrived: bool = True) -> None:
        """A checkpoint marker was applied.

        Args:
            partition: its partition.
            marker: the marker.
            appended: the broker's timestamp of its record in milliseconds; None when the broker has none.
            arrived: whether it is new; False when the log had it before the view began to read.
        """
        ahead_s = 0.0 if appended is None else (marker["at"] - appended) / 1000
        now = self._monotonic()
        if arrived and appended is not None:
            self._broker = appended, now
        received = now if arrived else None
        written = marker["at"] if appended is None else appended
        closed = _Closed(received, marker.get("behind"), ahead_s, written, marker.get("quarantined", {}))
        self._closed = {**self._closed, partition: closed}

    def hold(self, partition: int | None, reason: str) -> None:
        """Mark a partition as stale until `release`, for a reason in words. None marks the whole view."""
        self._held = {**self._held, partition: reason}

    def release(self, partition: int | None) -> None:
        """Undo `hold`."""
        self._held = {held: reason for held, reason in self._held.items() if held != partition}

    # ---- what is shown

    def broker_now(self) -> float:
        """Seconds since epoch by the broker's clock, as far as a new marker shows it; else by the view's own clock.

        A clock that is set while the view runs does not change the order of what is written with this time.
        """
        if self._broker is None:
            return time.time()
        appended, applied = self._broker
        return appended / 1000 + self._monotonic() - applied

    def judge(self, complete: Mapping[int, int], now: float) -> Staleness:
        """Whether the state that is complete up to these times, in milliseconds by partition, is stale.

        The worst cause comes first: what cannot be read, then what cannot be trusted, then what is old.

        Args:
            complete: as in `StoreState`.
            now: seconds since epoch by the view's clock.
        """
        return next(self._causes(complete, now), FRESH)

    def _causes(self, complete: Mapping[int, int], now: float) -> Iterator[Staleness]:
        for partition, reason in self._held.items():
            yield Staleness(StaleCause.HELD, reason if partition is None else f"partition {partition}: {reason}")
        for partition, reason in self._quarantined():
            yield Staleness(StaleCause.QUARANTINE, f"partition {partition} is in quarantine: {reason.rstrip('.')}")
        if not complete:
            yield Staleness(StaleCause.NO_CHECKPOINT, "no worker has written a checkpoint yet")
        if lacking := self._expected - complete.keys():
            yield Staleness(StaleCause.NO_CHECKPOINT, f"{_named(lacking)}: no checkpoint yet")
        yield from self._wrong_clocks(complete, now)
        monotonic = self._monotonic()
        silent = {partition: monotonic - self._received(partition) for partition in self._expected & complete.keys()}
        if old := [partition for partition, age in silent.items() if age > self._stale_after_s]:
            yield Staleness(
                StaleCause.SILENT,
                f"{_named(old)}: no checkpoint for {max(silent.values()):.0f} s. No worker owns it, its worker has "
                "all its partitions in quarantine, delays its checkpoint or cannot write (`/readyz` and log of the "
                "worker have it), or the view cannot read",
            )
        behind = [partition for partition, at in complete.items() if now - at / 1000 > self._stale_after_s]
        if behind:
            oldest = min(behind, key=complete.__getitem__)
            yield self._behind(oldest, behind, complete[oldest])

    def _quarantined(self) -> Iterator[tuple[int, str]]:
        """Partitions in quarantine, and why, as their worker stated last. Their next marker ends it."""
        for closed in self._closed.values():
            for partition in sorted(self._expected):
                if (reason := closed.quarantined.get(str(partition))) is not None:
                    own = self._closed.get(partition)
                    if own is None or own.written <= closed.written:
                        yield partition, reason

    def _received(self, partition: int) -> float:
        """When a marker of a partition arrived, or the view began to wait for one."""
        closed = self._closed.get(partition)
        return self._since if closed is None or closed.received is None else closed.received

    def _wrong_clocks(self, complete: Mapping[int, int], now: float) -> Iterator[Staleness]:
        for partition, closed in self._closed.items():
            # A worker that lags states the broker's time, and one whose append took long looks late for a moment.
            if closed.ahead_s > SKEW_SECONDS:
                yield _wrong_clock(f"the worker of partition {partition} is {closed.ahead_s:.0f} s ahead of the broker")
        for partition, at in complete.items():
            if (ahead_s := at / 1000 - now) > SKEW_SECONDS:
                yield _wrong_clock(f"partition {partition} is complete up to {in_words(at)}, {ahead_s:.0f} s from now")

    def _behind(self, partition: int, others: Collection[int], at: int) -> Staleness:
        closed = self._closed.get(partition)
        names, since = _named(others), in_words(at)
        if closed is None or (closed.behind is None and closed.received is None):
            return Staleness(StaleCause.SILENT, f"{names}: no checkpoint since {since}")
        if closed.behind is None:
            if -closed.ahead_s > SKEW_SECONDS:
                late = f"partition {partition} is {-closed.ahead_s:.0f} s later than the broker"
                return _wrong_clock(f"the worker of {late}, or the broker took that long to accept its checkpoint")
            return _wrong_clock(f"the newest checkpoint of {names} is of {since}, or the view reads late")
        try:
            cause = StaleCause(closed.behind)
        except ValueError:
            cause = StaleCause.OTHER
        words = WAITING_WORDS.get(closed.behind, "events wait since {since}").format(since=since)
        return Staleness(cause, f"{names}: {words}{f' ({closed.behind})' if cause is StaleCause.OTHER else ''}")


def _wrong_clock(how: str) -> Staleness:
    return Staleness(StaleCause.CLOCK, f"a clock is wrong: {how}")


def _named(partitions: Collection[int]) -> str:
    listed = ", ".join(map(str, sorted(partitions)[:5]))
    more = f" and {len(partitions) - 5} more" if len(partitions) > 5 else ""
    return f"partition{'s' if len(partitions) > 1 else ''} {listed}{more}"
