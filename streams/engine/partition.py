"""The partitions that a worker owns: the state of each, and the transitions of that state.

In the order of one generation:

- restore: `assign`, `replayed`, `claimed`, `half_open`, `restored`, then `begin_generation`;
- events: `applied` after each part of a batch, `processed` after the batch; `saw` while the circuit breaker is open;
- checkpoint: `take_rows` ahead of it, `freeze`, `begin_drain` and `draining`, and `checkpointed` once it is written;
- the end: `end_generation`. A partition that stays with the worker keeps its shard for the next restore.

Quarantine: `quarantine` stops a partition whose logs or sources cannot be read correctly, or which has too many
tallies, at any of these points. The worker keeps the partition assigned, and neither processes nor writes anything of
it; its other partitions go on. The next assignment makes the partition again from its logs, so it is a new attempt.

Other modules read the state and call these transitions. Only this module changes the state.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass

from faust.types import TP

from aggregator.day_tallies import CheckpointDelta
from aggregator.days import in_words
from aggregator.names import printable
from aggregator.shard import Shard
from aggregator.tallies import WAITING_WORDS, Behind, CheckpointMarker
from streams.engine.circuit_breaker import HeldBack, SeenBy, seen_offsets
from streams.engine.completeness import Completeness, Now
from streams.engine.start import Start
from streams.kafka.dead_letters import RejectedRecord
from streams.ledger.claim import Claim
from streams.ledger.log import Log
from streams.ledger.replay import LedgerReplay
from streams.runtime.health import STALE_SECONDS
from streams.waiting.partition import WaitingPartition

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drained:
    """What one checkpoint writes of one partition, all of it from the same moment."""

    delta: CheckpointDelta
    """Dirty rows and touched tallies."""
    positions: dict[TP, int]
    """By source partition, the next offset to process: committable once the rest is written."""
    seen_by: dict[str, dict[str, int]]
    """By worker and source topic, up to where its circuit breaker saw events that are not processed."""
    oldest: list[int]
    """Per batch since the last checkpoint, the broker's timestamp of its oldest event, in milliseconds."""


class OwnedPartition:
    """One owned partition: its shard, its two logs, and how far its sources are processed."""

    __slots__ = (
        "_counted",
        "_oldest",
        "_thawed",
        "_unchanged_elsewhere",
        "ahead",
        "behind",
        "changed",
        "checkpointed_at",
        "complete",
        "counted",
        "foreign",
        "held",
        "ledger",
        "partition",
        "positions",
        "quarantined",
        "ready",
        "replay",
        "seen_by",
        "shard",
        "tallies",
        "topic_ids",
        "waiting",
        "worker",
    )

    def __init__(
        self, partition: int, shard: Shard, ledger: Log, tallies: Log, waiting: WaitingPartition | None = None
    ) -> None:
        self.partition = partition
        self.shard = shard
        self.ledger = ledger
        self.tallies = tallies
        self.replay = LedgerReplay(shard)
        """Reads the ledger into the shard."""
        self.foreign = 0
        """Number of counted ledger rows that no worker wrote, as far as markers and this worker know of them."""
        self.positions: dict[str, int] = {}
        """By source topic, the next offset to process."""
        self.counted: Mapping[str, int] = {}
        """By source topic, the offset below which an earlier checkpoint counted every event. It is above the position
        while events are processed again, after a reset of the group."""
        self.worker = ""
        """Name of the worker of this process."""
        self.seen_by: SeenBy = {}
        """What the open circuit breakers of all workers saw before this process owned the partition."""
        self.held = HeldBack()
        """What the circuit breaker of this process holds back."""
        self.topic_ids: Mapping[str, str] = {}
        """By source topic, the id of the topic to which the position belongs, as far as the broker has ids."""
        self.ready = False
        """Whether the partition is restored in the current generation, and not in quarantine."""
        self.quarantined: str | None = None
        """Why the partition is in quarantine; None when it is not."""
        self.changed = False
        """Whether the next checkpoint has something to write or to release."""
        self.ahead = False
        """Whether the ledger has rows whose tallies only the next checkpoint publishes."""
        self.checkpointed_at = 0.0
        """When the last checkpoint was written, in monotonic seconds."""
        self.complete = Completeness()
        """Up to which time everything in the sources is processed."""
        self.behind: Behind | None = None
        """Why events waited at the last checkpoint; None when none did."""
        self.waiting = waiting
        """Its waiting evaluations; None where evaluations of unknown items are rows."""
        self._unchanged_elsewhere = False
        self._oldest: list[int] = []
        self._counted = (0, 0)
        self._thawed = asyncio.Event()
        self._thawed.set()

    @property
    def claim(self) -> Claim | None:
        """The last claim in the ledger."""
        return self.replay.claim

    @property
    def seen_before(self) -> Mapping[str, int]:
        """By source topic, the offset up to which earlier processes of this worker saw events while their circuit
        breaker was open: they do not open it again.
        """
        return self.seen_by.get(self.worker, {})

    @property
    def fully_published(self) -> bool:
        """Whether the logs have everything of the shard, and nobody else wrote to them since the last checkpoint."""
        return self._unchanged_elsewhere and not self.shard.dirty and not self.shard.settle().touched_tallies

    def sources(self) -> dict[TP, int]:
        """Positions by source partition."""
        return {TP(topic, self.partition): offset for topic, offset in self.positions.items()}

    # ---- restore

    def compared(self, marker: CheckpointMarker | None) -> list[int]:
        """Add to the foreign rows that the last marker counts those after its position; returns their offsets."""
        known, position = (0, 0) if marker is None else (marker.get("foreign", 0), marker["position"])
        # While a worker writes, a foreign record ends it: so none is below a marker that does not count it.
        added = [offset for offset in self.replay.foreign if offset >= position]
        self.foreign = known + len(added)
        return added

    def replayed(self, records: int) -> None:
        """Note ledger records that this worker did not write since its last checkpoint."""
        if records:
            self._unchanged_elsewhere = False

    def claimed(self, claim: Claim) -> None:
        """Take a claim of the ledger in place of an earlier one."""
        self.replay.claim = claim

    def restored(self, starts: Mapping[TP, Start], topic_ids: Mapping[str, str] = {}) -> None:
        """Process events from these places of the sources: the shard has the state of the logs.

        Args:
            starts: by source partition, where it starts.
            topic_ids: by source topic, its id, as far as the broker has ids.
        """
        self.positions = {tp.topic: start.offset for tp, start in starts.items()}
        self.counted = {tp.topic: start.counted for tp, start in starts.items()}
        self.topic_ids = topic_ids
        self.held = HeldBack()

    def expected(self, topic: str) -> int:
        """The offset at which a source has to go on at the latest: every event below it is counted."""
        return max(self.positions[topic], self.counted[topic])

    def half_open(self, worker: str, seen_by: SeenBy) -> None:
        """Let the events that earlier processes of this worker saw become dead letters, and keep what others saw.

        A process whose circuit breaker is open stays paused, so what it finds of its own name is of an earlier one.
        """
        self.worker, self.seen_by = worker, seen_by

    def begin(self) -> None:
        """Allow events to be processed, unless the partition is in quarantine."""
        self.ready = self.quarantined is None

    def end(self) -> None:
        """Allow no event to be processed until the next restore."""
        self.ready = False

    def quarantine(self, reason: str) -> None:
        """Process and write nothing more of this partition, and keep it assigned. Only the first reason stays.

        Args:
            reason: what is wrong, with topic, partition and offset, and what an operator can do.
        """
        self.ready = False
        if self.quarantined is not None:
            return
        self.quarantined = reason
        # What is not in the ledger is neither committed: the next attempt processes those events again.
        self.changed = self._unchanged_elsewhere = False
        self.shard.dirty = {}
        _log.error(
            "partition %d is in quarantine: %s. This worker keeps the partition, processes and writes nothing of it, "
            'and continues with its others; see docs/operations.md, "Partition in quarantine"',
            self.partition,
            reason.rstrip("."),
        )

    def limit_tallies(self) -> None:
        """Put the partition in quarantine if its shard has too many tallies, before a checkpoint makes them.

        No event is rejected instead: which of them comes last is no property of the events.
        """
        if self.quarantined is None and self.shard.full():
            self.quarantine(_too_many(self.shard))

    def settling(self) -> Iterator[None]:
        """Count all that is only noted, in steps; all of them must be done before the shard changes."""
        yield from self.shard.settling()
        yield from self.shard.counts.settling()

    def fits(self) -> bool:
        """Whether a checkpoint can be made of it; if it has too many tallies, it is in quarantine from now on."""
        self.shard.settle()
        self.limit_tallies()
        return self.quarantined is None

    # ---- events and checkpoints

    def applied(self) -> None:
        """Note that events were merged into the shard. With too many tallies, this partition is in quarantine."""
        self.changed = True
        self.limit_tallies()

    def processed(self, topic: str, following: int, oldest: int | None, newest: int | None = None) -> None:
        """Move a position past a batch that is applied and whose dead letters are acknowledged.

        Args:
            topic: the source topic.
            following: the next offset to process.
            oldest: the broker's timestamp of the first event in milliseconds; None for a batch without events.
            newest: that of the last one.
        """
        # A batch from before the position is a replay, which the merge ignores.
        self.positions[topic] = max(self.positions[topic], following)
        if oldest is not None:
            self._oldest.append(oldest)
        if newest is not None:
            self.complete.processed(topic, newest, Now.read())
        self.changed = True

    def saw(self, topic: str, following: int, rejected: Sequence[RejectedRecord]) -> None:
        """Note that the open circuit breaker looked at the events before offset `following`, which stay in the topic.

        Args:
            topic: the source topic.
            following: the next offset to look at.
            rejected: those that would become dead letters.
        """
        self.held.saw(topic, following, len(rejected), rejected[-1].example.place if rejected else None)
        self.changed = True

    @contextmanager
    def freeze(self) -> Iterator[None]:
        """Let the shard not change while it is read in slices: whoever would change it asks `frozen`, or waits."""
        self._thawed.clear()
        try:
            yield
        finally:
            self._thawed.set()

    @property
    def frozen(self) -> bool:
        """Whether the shard must not change."""
        return not self._thawed.is_set()

    async def thawed(self) -> None:
        """Wait until the shard may change."""
        while self.frozen:
            await self._thawed.wait()

    def take_rows(self) -> dict[bytes, bytes]:
        """Take the dirty rows, for the ledger, ahead of the checkpoint that publishes what they change; the caller
        writes them, or the process ends.
        """
        rows, self.shard.dirty = self.shard.dirty, {}
        self.ahead = self.ahead or bool(rows)
        return rows

    def begin_drain(self) -> Drained:
        """Take rows and positions of what the next checkpoint writes; the caller writes all of it, or the process ends.

        The tallies of the same moment follow by `draining`, before the shard changes.
        """
        oldest, self._oldest = self._oldest, []
        self.changed = self.ahead = False
        self._unchanged_elsewhere = True
        seen_by = seen_offsets(self.worker, self.held, self.seen_by, self.positions)
        rows, self.shard.dirty = self.shard.dirty, {}
        return Drained(CheckpointDelta(rows, {}), self.sources(), seen_by, oldest)

    def draining(self, drained: Drained) -> Iterator[None]:
        """Take the touched tallies, in steps; all of them must be done."""
        tallies = drained.delta.tallies
        yield from self.shard.settling()
        for tally in self.shard.counts.draining():
            if tally is not None:
                tallies[tally[0]] = tally[1]
            yield

    def checkpointed(self, now: float) -> tuple[int, int]:
        """Note that the checkpoint is written; returns the comparisons added and retracted since the last one."""
        self.checkpointed_at = now
        before, self._counted = self._counted, (self.shard.added, self.shard.retracted)
        return self._counted[0] - before[0], self._counted[1] - before[1]


class OwnedPartitions:
    """All partitions of one worker. Changed on the event loop only; may be iterated from any thread."""

    def __init__(self) -> None:
        self.generation: int | None = None
        """The generation in which events are processed; None without one."""
        self.replayed_rows = 0
        """Ledger rows replayed so far, for the watchdog."""
        self._partitions: dict[int, OwnedPartition] = {}

    def __iter__(self) -> Iterator[OwnedPartition]:
        return iter(list(self._partitions.values()))

    def __len__(self) -> int:
        return len(self._partitions)

    def get(self, partition: int) -> OwnedPartition | None:
        """The partition with this number, or None."""
        return self._partitions.get(partition)

    def late(self) -> dict[int, tuple[str, bool]]:
        """By partition whose events have waited too long, why, and whether they are being processed meanwhile."""
        now, late = Now.read(), {}
        for owned in self:
            at, why = owned.complete.at(now), owned.behind
            if why is not None and owned.ready and now.wall_ms - at > STALE_SECONDS * 1000:
                late[owned.partition] = WAITING_WORDS[why].format(since=in_words(at)), why == "catching_up"
        return late

    def quarantined(self) -> dict[int, str | None]:
        """By partition, why it is in quarantine; None for a partition that is not."""
        return {owned.partition: owned.quarantined for owned in self}

    @property
    def foreign_rows(self) -> int:
        """Counted ledger rows that no worker wrote."""
        return sum(owned.foreign for owned in self)

    @property
    def tallies(self) -> float:
        """Tallies of all shards."""
        return sum(owned.shard.counts.size() for owned in self)

    @property
    def fullest(self) -> float:
        """Tallies of the partition with most, as a share of `max_tallies`; partitions in quarantine do not count."""
        counts = (owned.shard.counts for owned in self if owned.quarantined is None)
        return max((each.size() / each.max_tallies for each in counts), default=0.0)

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return sum(owned.shard.rows for owned in self._partitions.values())

    @property
    def dirty_rows(self) -> int:
        """Rows that are not in the ledger yet."""
        return sum(len(owned.shard.dirty) for owned in self._partitions.values())

    def due(self, idle_since: float) -> list[OwnedPartition]:
        """Partitions to checkpoint: with changes, or without a checkpoint since `idle_since` (monotonic seconds)."""
        return [
            owned
            for owned in self._partitions.values()
            if owned.ready and (owned.changed or owned.checkpointed_at <= idle_since)
        ]

    def assign(self, partitions: AbstractSet[int], new: Callable[[int], OwnedPartition]) -> None:
        """Drop the partitions that are not among these or in quarantine, and make the missing ones."""
        in_quarantine = {number for number, reason in self.quarantined().items() if reason is not None}
        for partition in self._partitions.keys() - (partitions - in_quarantine):
            del self._partitions[partition]
        for partition in sorted(partitions - self._partitions.keys()):
            self._partitions[partition] = new(partition)

    def drop_all(self) -> None:
        """Drop all partitions: the next restore makes them again from their ledgers."""
        self._partitions.clear()

    def replayed(self, owned: OwnedPartition, records: int) -> None:
        """Note that records of a partition's ledger were replayed."""
        owned.replayed(records)
        self.replayed_rows += records

    def begin_generation(self, generation: int) -> None:
        """All partitions are restored: process events of this generation."""
        self.generation = generation
        for owned in self._partitions.values():
            owned.begin()

    def end_generation(self) -> list[OwnedPartition] | None:
        """Process no more events; returns the partitions for a last checkpoint, None if no generation had begun."""
        generation, self.generation = self.generation, None
        changed = [owned for owned in self._partitions.values() if owned.ready and owned.changed]
        for owned in self._partitions.values():
            owned.end()
        return None if generation is None else changed


def _too_many(shard: Shard) -> str:
    largest, most = shard.largest(), shard.settle().max_tallies
    return (
        f"more tallies than max_tallies = {most:,}. Most are of item {printable(largest.item)!r} in queue "
        f"{printable(largest.queue)!r}: {largest.groups:,} queues, criteria and days x {largest.metrics:,} metrics = "
        f"{largest.tallies:,}. Raise max_tallies and the memory of the worker, and restart it"
    )
