"""The checkpoint: rows, then tallies, then positions. Whatever stops it half-way, replaying the ledger mends it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import orjson
from faust.types import TP

from aggregator.policy import Policy
from aggregator.shard import CheckpointDelta
from aggregator.tallies import MARKER_KEY, CheckpointMarker
from streams.engine.partition import OwnedPartition
from streams.kafka.group import ConsumerGroup
from streams.ledger.log import LogRow
from streams.runtime.metrics import WorkerMetrics


@dataclass(slots=True)
class _PartitionCheckpoint:
    """What one checkpoint carries of one partition: all of it from the same moment."""

    owned: OwnedPartition
    delta: CheckpointDelta
    marker: CheckpointMarker
    positions: dict[TP, int]
    waiting: list[int]


@dataclass(slots=True)
class Checkpoint:
    """Writes checkpoints of owned partitions. The caller holds the lock: there is never more than one under way.

    `on_step` is told the name of each step that is done.
    """

    policy: Policy
    group: ConsumerGroup
    metrics: WorkerMetrics
    on_step: Callable[[str], None]
    _drained: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, partitions: Sequence[OwnedPartition]) -> None:
        """One checkpoint of these partitions together. Raises FatalError or KafkaError; the process must end then.

        1. Take dirty rows, touched tallies and positions, all at one moment.
        2. Append the rows to the ledger.
        3. Publish the tallies, stamped with the ledger's position; `marker` last.
        4. Release the positions; the commit timer commits them.
        """
        started = time.monotonic()
        parts = [self._drain(owned) for owned in partitions]
        self._drained.set()
        self._drained = asyncio.Event()
        self.on_step("taken")
        await _all(part.owned.ledger.append(part.delta.rows.items()) for part in parts)
        self.on_step("rows appended")
        await _all(part.owned.tallies.append(self._tallies(part)) for part in parts)
        self.on_step("tallies published")
        for part in parts:
            self.group.release(part.positions)
        self.on_step("positions released")
        self._settle(parts, started)

    async def next_drain(self) -> None:
        """Wait until the next checkpoint took what is dirty."""
        await self._drained.wait()

    def _drain(self, owned: OwnedPartition) -> _PartitionCheckpoint:
        delta = owned.shard.drain()
        positions = owned.sources()
        waiting, owned.waiting = owned.waiting, []
        owned.changed = False
        owned.unchanged_elsewhere = True
        marker = CheckpointMarker(
            ledger="",
            position=0,
            policy=self.policy.value,
            at=int(time.time() * 1000),
            sources={
                tp.topic: {"position": position, "end": max(position, self.group.end(tp) or 0)}
                for tp, position in positions.items()
            },
        )
        return _PartitionCheckpoint(owned, delta, marker, positions, waiting)

    def _tallies(self, part: _PartitionCheckpoint) -> Iterator[LogRow]:
        """Touched tallies and `marker`, with the ledger position whose replay gives these counts."""
        claim = part.owned.claim
        assert claim is not None, "only claimed partitions are checkpointed"
        position = part.owned.ledger.next
        stamp = {"ledger": claim.ledger, "position": position, "policy": self.policy.value}
        for key, payload in part.delta.tallies.items():
            yield key, orjson.dumps({**payload, **stamp})
        part.marker["ledger"] = claim.ledger
        part.marker["position"] = position
        part.marker["offset"] = part.owned.tallies.next + len(part.delta.tallies)
        yield MARKER_KEY, orjson.dumps(part.marker)

    def _settle(self, parts: Sequence[_PartitionCheckpoint], started: float) -> None:
        now = time.monotonic()
        wall_ms = time.time() * 1000
        for part in parts:
            owned = part.owned
            owned.marked_at = now
            self.metrics.facts_written.inc(len(part.delta.rows))
            for oldest in part.waiting:
                self.metrics.event_to_publish_seconds.observe(max(0.0, wall_ms - oldest) / 1000)
            added, retracted = owned.shard.added, owned.shard.retracted
            self.metrics.comparisons_added.inc(added - owned.counted[0])
            self.metrics.comparisons_retracted.inc(retracted - owned.counted[1])
            owned.counted = (added, retracted)
        self.metrics.checkpoint_seconds.observe(now - started)


async def _all(appends: Iterable[object]) -> None:
    await asyncio.gather(*appends)  # type: ignore[call-overload]
