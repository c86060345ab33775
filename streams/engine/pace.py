"""The pace of checkpoints: how soon a partition whose tallies are large is checkpointed again.

A checkpoint publishes every touched tally as a whole. One small event touches the cells of all judges of its item, so
bytes of tallies do not follow from bytes of events. Each partition therefore has an allowance of bytes for its tallies,
which grows with time and with the rows that it writes; after a checkpoint that took more, the next one begins later,
and publishes all changes until then together. What a checkpoint writes, and its order, stay the same.

In t seconds the tallies of a partition take, besides the last checkpoint, at most

    BURST_BYTES + BYTES_PER_SECOND * t + BYTES_PER_ROW * rows written

Bytes are those of the batches that are sent: after compression, before replication. Checkpoints of a restore and of the
end of a generation begin without delay, and count nothing. Pure, except for its log.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Final, cast

import orjson

from aggregator import tallies
from streams.engine.partition import OwnedPartition

_log = logging.getLogger(__name__)

BYTES_PER_SECOND: Final = 64 << 10
"""Bytes of tallies that a partition may write for each second."""
BYTES_PER_ROW: Final = 256
"""Bytes that it may write in addition for each row of the ledger: a usual event needs fewer, so a load of history waits
for nothing.
"""
BURST_BYTES: Final = 1 << 20
"""The allowance of a partition that has written little."""
_LOG_SECONDS: Final = 60.0
_DAY_BYTES: Final = len(',"2026-05-28"]')
"""Bytes of a key that are its day and what follows."""
_LOOKED_AT: Final = 20_000
_NOTABLE_SECONDS: Final = 0.25
"""A shorter delay is not logged."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a checkpoint wrote of one partition."""

    owned: OwnedPartition
    rows: int
    """Rows of the ledger."""
    tallies: dict[bytes, tallies.Payload]
    """Published tallies by key."""
    bytes: int
    """Bytes of tallies and marker as they were sent."""


@dataclass(slots=True)
class _Allowance:
    """The allowance of one partition. What it owes is negative while it has some left."""

    owed: float = -BURST_BYTES
    at: float = 0.0
    """When it owed that, in monotonic seconds."""

    def free_at(self, rows: int) -> float:
        return self.at + (self.owed - BYTES_PER_ROW * rows) / BYTES_PER_SECOND

    def wrote(self, size: int, rows: int, now: float) -> None:
        left = max(self.owed - BYTES_PER_SECOND * (now - self.at), -BURST_BYTES)
        self.owed, self.at = max(left + size - BYTES_PER_ROW * rows, -BURST_BYTES), now


class TallyPace:
    """The allowances of all partitions of one worker.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._allowances: dict[int, _Allowance] = {}
        """By partition. One that comes back to this worker owes what it owed."""
        self._log_at = float("-inf")

    def wait(self, owned: OwnedPartition) -> float:
        """Seconds until the changes of a partition may be written; 0 when they may be now, or when it has none."""
        allowance = self._allowances.get(owned.partition)
        if allowance is None or not (owned.ready and owned.changed):
            return 0.0
        return max(0.0, allowance.free_at(len(owned.shard.dirty)) - self._clock())

    def delayed(self, partitions: Iterable[OwnedPartition]) -> dict[int, float]:
        """Seconds that changes of partitions still wait, by partition, without those that may be written now."""
        return {owned.partition: seconds for owned in partitions if (seconds := self.wait(owned))}

    def appended(self, owned: OwnedPartition, rows: int) -> None:
        """Count rows of a partition that were written to the ledger ahead of its checkpoint."""
        self._allowances[owned.partition].wrote(0, rows, self._clock())

    def wrote(self, written: Iterable[Written]) -> None:
        """Count a checkpoint; logs, once a minute, whose tallies delay the next one most."""
        now = self._clock()
        longest: tuple[float, Written] | None = None
        for one in written:
            allowance = self._allowances.setdefault(one.owned.partition, _Allowance(at=now))
            allowance.wrote(one.bytes, one.rows, now)
            seconds = allowance.free_at(0) - now
            if one.tallies and seconds > (_NOTABLE_SECONDS if longest is None else longest[0]):
                longest = seconds, one
        if longest is not None and now - self._log_at >= _LOG_SECONDS:
            self._log_at = now
            seconds, one = longest
            _log.warning(
                "checkpoints are delayed: partition %d wrote %d bytes in %d tallies, most of them %s, and its next "
                "checkpoint waits for up to %.1f s. Its counts are published later, and stay exact; see "
                'docs/scaling.md, "Pace of tallies"',
                one.owned.partition,
                one.bytes,
                len(one.tallies),
                _largest(one.tallies),
                seconds,
            )


def _largest(published: Mapping[bytes, tallies.Payload]) -> str:
    """In words, the group with most cells or tallies, all days together."""
    sizes: Counter[bytes] = Counter()
    # Of very many, each so-manieth: a look at all would block the process.
    step = 1 + len(published) // _LOOKED_AT
    for key, payload in islice(published.items(), 0, None, step):
        sizes[_without_day(key)] += (
            len(cast("tallies.CellsPayload", payload)["judges"]) if key.startswith(b'["cells"') else 1
        )
    first, size = max(sizes.items(), key=itemgetter(1))
    kind, *names = orjson.loads(first + b"]")
    number = f"{size}" if step == 1 else f"about {size * step}"
    match kind, names:
        case "cells", (queue, criterion, metric):
            return f"{number} cells of judge versions in queue {queue!r}, criterion {criterion!r}, metric {metric!r}"
        case "evaluations", (queue, metric):
            return f"{number} days of coverage in queue {queue!r}, metric {metric!r}"
        case _:
            return f"{number} days of annotations in queue {names[0]!r}, criterion {names[1]!r}"


def _without_day(key: bytes) -> bytes:
    """The key of a tally up to its day, and so without its part."""
    end = len(key) if key.endswith(b'"]') else key.rindex(b",") + 1
    return key[: end - _DAY_BYTES]
