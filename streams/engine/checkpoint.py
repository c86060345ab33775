"""The checkpoint: rows, then tallies, then positions.

If the process ends between two steps, the next restore repairs the rest: it replays the ledger, publishes the tallies
that differ, and continues from the committed positions.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson
from faust.types import TP

from aggregator.policy import Policy
from aggregator.tallies import (
    MARKER_KEY,
    Behind,
    CheckpointMarker,
    WaitingState,
    shorten_quarantined,
    source_position,
)
from streams.engine.completeness import Now
from streams.engine.pace import Written
from streams.engine.partition import Drained, OwnedPartition
from streams.kafka.watermarks import Watermarks
from streams.ledger.log import LogRow
from streams.runtime.health import Health
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.slices import run_in_slices
from streams.waiting.clock import SourceReach
from streams.waiting.partition import Noted
from streams.waiting.waiting import WaitingEvaluations


@dataclass(slots=True)
class _PartitionCheckpoint:
    """One partition's part of a checkpoint."""

    owned: OwnedPartition
    drained: Drained
    marker: CheckpointMarker
    noted: Noted | None = None
    """What this checkpoint settles of the waiting evaluations."""


class CheckpointOffsets(Protocol):
    """What a checkpoint asks of the consumer group."""

    def release(self, positions: Mapping[TP, int]) -> None:
        """Let these offsets be committed."""

    def watermarks(self, partition: TP) -> Watermarks | None:
        """The ends of a source partition, if they are known."""


@dataclass(slots=True)
class Checkpoint:
    """Writes checkpoints of owned partitions. The caller holds the lock, so two checkpoints never overlap."""

    policy: Policy
    group: CheckpointOffsets
    metrics: WorkerMetrics
    on_step: Callable[[str], None]
    """Called with the name of each completed step."""
    health: Health = field(default_factory=Health)
    """Shows how long the running checkpoint has waited for the broker."""
    waiting: WaitingEvaluations | None = None
    """Evaluations of unknown items wait there; None where they are rows."""
    _drained: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, partitions: Sequence[OwnedPartition]) -> list[Written]:
        """Write one checkpoint of these partitions together; returns what it wrote of each.

        A partition with too many tallies is in quarantine instead.

        1. Drain dirty rows, touched tallies and positions, and note what of the waiting evaluations they settle, all of
           the same moment of the partition. Many tallies are taken in slices; its shard is frozen meanwhile, and the
           rest of the process goes on.
        2. Append the rows to the ledger.
        3. Publish the tallies, stamped with the ledger's position, and the marker last. Only then is settled what was
           noted.
        4. Release the positions; the commit timer commits them.

        Raises FatalError or KafkaError; the process must end then, because the drained rows are lost.
        """
        started = self.health.checkpoint_since = time.monotonic()
        parts = [part for owned in partitions if (part := await self._drain(owned)) is not None]
        self._tell_drained()
        self.on_step("drained")
        await _all(part.owned.ledger.append(part.drained.delta.rows.items()) for part in parts)
        self.on_step("rows appended")
        if self.waiting is not None:
            self.waiting.secure()
        sizes = await _all(part.owned.tallies.append(self._tallies(part)) for part in parts)
        self.on_step("tallies published")
        self._settle(parts)
        for part in parts:
            self.group.release(part.drained.positions)
        self.on_step("positions released")
        self.health.checkpoint_since = None
        self._complete(parts, started)
        self.metrics.tallies_written_bytes.inc(sum(sizes))
        return [
            Written(part.owned, len(part.drained.delta.rows), part.drained.delta.tallies, size)
            for part, size in zip(parts, sizes, strict=True)
        ]

    async def append_rows(self, partitions: Sequence[OwnedPartition]) -> list[int]:
        """Append the dirty rows of these partitions to their ledgers, ahead of the checkpoint that publishes what they
        change; returns the number of rows of each.

        For readers it is a checkpoint that ended after its second step: no position is released. Raises as a checkpoint
        does.
        """
        self.health.checkpoint_since = time.monotonic()
        rows = [owned.take_rows() for owned in partitions]
        self._tell_drained()
        await _all(owned.ledger.append(of.items()) for owned, of in zip(partitions, rows, strict=True))
        self.on_step("rows appended")
        self.health.checkpoint_since = None
        self.metrics.facts_written.inc(sum(map(len, rows)))
        return list(map(len, rows))

    def _settle(self, parts: Sequence[_PartitionCheckpoint]) -> None:
        for part in parts:
            owned = part.owned
            if self.waiting is not None and owned.waiting is not None and part.noted is not None:
                self.waiting.settle(owned.waiting, part.noted, part.marker["position"])

    async def next_drain(self) -> None:
        """Wait until dirty rows are drained the next time."""
        await self._drained.wait()

    def _tell_drained(self) -> None:
        self._drained.set()
        self._drained = asyncio.Event()

    def observe(self, owned: OwnedPartition, now: Now) -> Behind | None:
        """Compare a partition's positions with the ends of its sources; returns why events wait, if any do."""
        watermarks = {tp.topic: self.group.watermarks(tp) for tp in owned.sources()}
        owned.complete.observe(owned.positions, watermarks, now)
        behind = owned.complete.behind(now)
        paused = behind == "catching_up" and self.health.circuit_breaker is not None
        return "circuit_breaker" if paused else behind

    async def _drain(self, owned: OwnedPartition) -> _PartitionCheckpoint | None:
        """Take what the checkpoint writes of a partition; None when it has too many tallies."""
        with owned.freeze():
            await run_in_slices(owned.settling())
            if not owned.fits():
                return None
            part = self._begin(owned)
            await run_in_slices(owned.draining(part.drained))
            return part

    def _begin(self, owned: OwnedPartition) -> _PartitionCheckpoint:
        """Take everything but the tallies."""
        drained, now = owned.begin_drain(), Now.read()
        owned.behind = self.observe(owned, now)
        sources = [(tp, max(position, owned.counted[tp.topic])) for tp, position in drained.positions.items()]
        # Ledger and position are known once the rows are appended.
        marker = CheckpointMarker(
            ledger="",
            position=0,
            policy=self.policy.value,
            at=owned.complete.at(now),
            sources={
                tp.topic: source_position(counted, self._end(tp, counted), owned.topic_ids.get(tp.topic))
                for tp, counted in sources
            },
        )
        if drained.seen_by:
            marker["seen_by"] = drained.seen_by
        if owned.behind is not None:
            marker["behind"] = owned.behind
        if owned.foreign:
            marker["foreign"] = owned.foreign
        if (waiting := self._waits(owned)) is not None:
            marker["waiting"] = waiting
        if quarantined := self.health.quarantined:
            reasons = {str(partition): reason for partition, reason in sorted(quarantined.items())}
            marker["quarantined"] = shorten_quarantined(reasons)
        return _PartitionCheckpoint(owned, drained, marker, self._note(owned))

    def _waits(self, owned: OwnedPartition) -> WaitingState | None:
        if self.waiting is None or owned.waiting is None:
            return None
        return self.waiting.state(owned.waiting, owned.positions.get(self.waiting.topic, 0))

    def _note(self, owned: OwnedPartition) -> Noted | None:
        if self.waiting is None or owned.waiting is None:
            return None
        progress = {}
        for tp, position in owned.sources().items():
            marks = self.group.watermarks(tp)
            lags = marks is None or position < marks.high
            progress[tp.topic] = SourceReach(owned.complete.newest(tp.topic), lags)
        return self.waiting.note(owned.waiting, progress)

    def _end(self, tp: TP, position: int) -> int:
        marks = self.group.watermarks(tp)
        return position if marks is None else max(position, marks.high)

    def _tallies(self, part: _PartitionCheckpoint) -> Iterator[LogRow]:
        """Touched tallies and the marker, stamped with the ledger position up to which replay yields these counts."""
        claim = part.owned.claim
        assert claim is not None, "only claimed partitions are checkpointed"
        position = part.owned.ledger.next
        tallies = part.drained.delta.tallies
        stamp = {"ledger": claim.ledger, "position": position, "policy": self.policy.value}
        for key, payload in tallies.items():
            yield key, orjson.dumps({**payload, **stamp})
        part.marker["ledger"] = claim.ledger
        part.marker["position"] = position
        part.marker["offset"] = part.owned.tallies.next + len(tallies)
        yield MARKER_KEY, orjson.dumps(part.marker)

    def _complete(self, parts: Sequence[_PartitionCheckpoint], started: float) -> None:
        now = time.monotonic()
        wall_ms = time.time() * 1000
        for part in parts:
            self.metrics.facts_written.inc(len(part.drained.delta.rows))
            # By the broker's clock, as the events are: this machine's may be set while the worker runs.
            published_ms = part.owned.tallies.appended or wall_ms
            for oldest in part.drained.oldest:
                self.metrics.event_to_publish_seconds.observe(max(0.0, published_ms - oldest) / 1000)
            added, retracted = part.owned.checkpointed(now)
            self.metrics.comparisons_added.inc(added)
            self.metrics.comparisons_retracted.inc(retracted)
        self.metrics.checkpoint_seconds.observe(now - started)


async def _all(appends: Iterable[Awaitable[int]]) -> list[int]:
    return await asyncio.gather(*appends)
