"""Restore: take assigned partitions over. Start, recovery and take-over are the same procedure."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faust.types import TP

from aggregator.day_tallies import MAX_TALLIES
from aggregator.ledger_ids import common_id, new_ledger_id
from aggregator.policy import Policy
from aggregator.shard import Shard
from streams.engine.checkpoint import Checkpoint
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.salvage import Salvage, sound
from streams.engine.source_offsets import SourceOffsets, known_source
from streams.engine.start import Known, seen_is_left, start_of
from streams.engine.topic_watch import Describe
from streams.kafka.batches import CorruptPartitionError, Record
from streams.kafka.client import Capabilities
from streams.kafka.group import ConsumerGroup
from streams.kafka.record_limits import RecordLimits
from streams.kafka.topics import Topics
from streams.ledger.claim import CLAIM_KEY, Claim, check_pseudonyms, new_claim, parse_claim
from streams.ledger.log import Log, OnRecords, read_to_end
from streams.ledger.published import Published, comparing
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from streams.runtime.heap import pause_collection
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.slices import run_in_slices
from streams.waiting.partition import Continuation
from streams.waiting.waiting import WaitingEvaluations

_log = logging.getLogger(__name__)

_FIRST_CLAIM_SECONDS: Final = 60.0
"""How long the owner of an empty partition waits for the first claim of partition 0."""


class AssignmentChanged(EvalAlignmentError):
    """The assignment changed during its restore, which therefore stops; the next restore follows."""


@dataclass(slots=True)
class Restore:
    """Brings owned partitions to the state of their ledgers. The caller holds the checkpoint's lock."""

    name: str
    """The worker's stable name, for the claims."""
    topics: Topics
    partitions: int
    """P, the number of partitions."""
    policy: Policy
    accept_loss: bool
    """Continue, with a warning, although input or parts of the ledger were lost."""
    capabilities: Capabilities
    group: ConsumerGroup
    producer: AIOKafkaProducer
    reader: AIOKafkaConsumer
    describe: Describe
    checkpoint: Checkpoint
    metrics: WorkerMetrics
    on_step: Callable[[str], None]
    """Called with the name of each completed step."""
    owned: OwnedPartitions
    limits: RecordLimits = field(default_factory=RecordLimits)
    """How large batches, and the parts of tallies, may be."""
    waiting: WaitingEvaluations | None = None
    """Evaluations of unknown items wait there; None where they are rows."""
    pseudonyms: str = ""
    """Fingerprint of the key of annotators' pseudonyms; empty without one."""
    max_tallies: int = MAX_TALLIES
    """Most tallies of a partition."""
    _moved: Callable[[], bool] = lambda: False

    async def __call__(self, moved: Callable[[], bool]) -> None:
        """Restore every assigned partition, until `moved` returns that the assignment is over.

        1. The assignment must cover the same partitions of all three sources. Drop the shards of other partitions.
        2. Read the ledger to its end, through the same merge as live events. Note the items that became known since the
           store of waiting evaluations was last asked for all of them: they are owed, and looked up in the background.
           Evaluation rows of items that are not known stay in the shard, apart.
        3. Claim each partition that is not fully published, and read what was written before the claim.
        4. Compare with the published tallies: touch each one that differs. Rewrite each row that a later, older record
           of the ledger hides.
        5. Each source starts at the lower of the committed offset and the position that the tallies carry (see
           `start`). Stop if the assignment changed. What the store of waiting evaluations covers counts if it is of
           this ledger and these topics; what it lacks below the starts is read again in the background.
        6. Write one checkpoint, which publishes the differences.
        7. Seek to the starts.

        Each step leaves out the partitions that a step before it has put in quarantine, because their logs cannot be
        read correctly. What is wrong in all partitions ends the worker: its topics are wrong.

        Raises AssignmentChanged, FatalError or KafkaError.
        """
        self._moved = moved
        self._assign()
        self.on_step("assigned")
        with pause_collection():
            await self._replay(list(self.owned))
            self._salvage.check_rows(self.owned)
            self.on_step("ledger read")
            claimed = [owned for owned in self.owned if not owned.fully_published]
            await self._look_for_lost_ledgers(claimed)
            await self._claim(claimed)
            self.on_step("claimed")
            published = await self._compare(claimed)
            await self._repair(claimed)
            await self._salvage.give_up(claimed)
            self.on_step("compared")
        await self._start(published)
        self._stop_if_moved()
        await self.checkpoint(sound(claimed))
        self.on_step("restored")
        await self.group.seek({tp: offset for owned in self.owned for tp, offset in owned.sources().items()})
        self._stop_if_moved()

    @property
    def _salvage(self) -> Salvage:
        return Salvage(self.topics.facts, self.topics.tallies, self.partitions, self.accept_loss, self.pseudonyms)

    def _stop_if_moved(self) -> None:
        if self._moved():
            raise AssignmentChanged

    async def _read(
        self, logs: Sequence[Log], on_records: OnRecords, until: Mapping[TopicPartition, int] | None = None
    ) -> None:
        """Read logs to their ends, or to the offsets of `until`. Raises AssignmentChanged.

        A log that is corrupt on the broker's disk puts its partition in quarantine, and is read no further.
        """
        pending = list(logs)
        while pending:
            try:
                if not await read_to_end(self.reader, pending, on_records, until=until, abandoned=self._moved):
                    raise AssignmentChanged
                pending = []
            except CorruptPartitionError as error:
                pending = [log for log in pending if log.tp != error.partition]
                owned = self.owned.get(error.partition.partition)
                if owned is None:
                    raise
                self._salvage.corrupt(owned, error)

    # ---- 1. the assignment

    def _assign(self) -> None:
        assigned = self.group.assigned()
        by_topic = {topic: {tp.partition for tp in assigned if tp.topic == topic} for topic in self.topics.sources}
        if len({frozenset(partitions) for partitions in by_topic.values()}) != 1:
            raise FatalError(ExitCode.UNEXPECTED, f"different partitions of the sources are assigned: {by_topic}")
        partitions = by_topic[self.topics.annotations]
        if any(partition >= self.partitions for partition in partitions):
            raise FatalError(
                ExitCode.PARTITIONS_CHANGED,
                f"there were {self.partitions} partitions at the start, now there are at least {max(partitions) + 1}",
            )
        self.owned.assign(partitions, self._new_partition)
        if self.waiting is not None:
            self.waiting.keep(owned.waiting for owned in self.owned if owned.waiting is not None)

    def _new_partition(self, partition: int) -> OwnedPartition:
        shard = Shard(partition, self.policy, self.limits.judges_bytes, max_tallies=self.max_tallies)
        return OwnedPartition(
            partition,
            shard,
            Log(self.producer, self.topics.facts, partition, self.limits.facts),
            Log(self.producer, self.topics.tallies, partition, self.limits.tallies),
            None if self.waiting is None else self.waiting.assigned(partition, shard),
        )

    async def _offsets(self, partitions: Iterable[OwnedPartition]) -> SourceOffsets:
        sources = [TP(topic, owned.partition) for topic in self.topics.sources for owned in partitions]
        if not sources:
            return SourceOffsets({}, {}, {}, {})
        described = await self.describe(list(self.topics.sources))
        return SourceOffsets(
            {name: topic.id for name, topic in described.items() if topic.id is not None},
            await self.group.committed(sources),
            await self.group.starts(sources),
            await self.group.ends(sources) if self.capabilities.exact_ends else {},
        )

    # ---- 2. the ledger

    async def _replay(self, partitions: Sequence[OwnedPartition]) -> None:
        before = self.owned.replayed_rows
        started = time.monotonic()
        await self._read([owned.ledger for owned in partitions], self._replayer(partitions))
        if (rows := self.owned.replayed_rows - before) > 0:
            seconds = time.monotonic() - started
            _log.info("replayed %d ledger rows of %d partitions in %.2f s", rows, len(partitions), seconds)

    def _replayer(self, partitions: Iterable[OwnedPartition]) -> OnRecords:
        by_log = {owned.ledger.tp: owned for owned in partitions}

        def on_records(log: Log, records: Sequence[Record]) -> None:
            self._replay_records(by_log[log.tp], records)

        return on_records

    def _replay_records(self, owned: OwnedPartition, records: Sequence[Record]) -> None:
        owned.replay.read(records, owned.ledger.producers)
        owned.limit_tallies()
        if owned.waiting is not None:
            owned.waiting.replayed(records)
        self.owned.replayed(owned, len(records))
        self.metrics.recovery_rows.inc(len(records))

    async def _look_for_lost_ledgers(self, claimed: Iterable[OwnedPartition]) -> None:
        """Put partitions in quarantine that have no ledger although something was made from one.

        They never count as empty silently. If the loss is accepted, they begin at the oldest events, as every new
        ledger does. Raises FatalError if no partition of this worker has a ledger: the topic was deleted.
        """
        unclaimed = [owned for owned in sound(claimed) if owned.claim is None]
        if not unclaimed:
            return
        published = await self._published(unclaimed)
        offsets = await self._offsets(unclaimed)
        begun = {tp.partition for tp, offset in offsets.committed.items() if (offset or 0) > offsets.oldest[tp]}
        lost = [owned for owned in unclaimed if published[owned.partition].records or owned.partition in begun]
        if lost:
            await self._expect_alone(unclaimed)
            self._salvage.check_ledgers(self.owned, lost)

    # ---- 3. the claim

    async def _claim(self, partitions: Sequence[OwnedPartition]) -> None:
        starts = await self._starts(sound(partitions))
        self._salvage.check_starts(sound(partitions), starts)
        self._salvage.check_claims(self.owned, sound(partitions))
        # Partition 0 first: its first claim creates the ledger id.
        claims: dict[int, Claim] = {}
        for owned in sorted(sound(partitions), key=lambda owned: owned.partition):
            ledger = owned.claim.ledger if owned.claim else await self._first_id(owned.partition, claims.get(0))
            if ledger is None:
                owned.quarantine(f"{self.topics.facts}[0] is in quarantine, and its claim creates the ledger id")
            else:
                claims[owned.partition] = self._new_claim(ledger, starts[owned.partition])
        claimed = sound(partitions)
        offsets = await asyncio.gather(
            *(owned.ledger.append_blindly((CLAIM_KEY, claims[owned.partition].encode())) for owned in claimed)
        )
        until = {owned.ledger.tp: offset + 1 for owned, offset in zip(claimed, offsets, strict=True)}
        for owned, offset in zip(claimed, offsets, strict=True):
            owned.replay.own_claims.add(offset)
        await self._read([owned.ledger for owned in claimed], self._replayer(claimed), until)
        self._salvage.check_rows(self.owned)

    async def _starts(self, partitions: Sequence[OwnedPartition]) -> dict[int, int]:
        """By partition, the oldest offset that its ledger has."""
        logs = {owned.ledger.tp: owned.partition for owned in partitions}
        starts = await self.reader.beginning_offsets(list(logs)) if logs else {}
        return {logs[tp]: offset for tp, offset in starts.items()}

    def _new_claim(self, ledger: str, start: int | None) -> Claim:
        return new_claim(
            ledger,
            self.partitions,
            self.policy,
            self.name,
            int(time.time() * 1000),
            waiting=self.waiting is not None,
            pseudonyms=self.pseudonyms,
            start=start,
        )

    async def _first_id(self, partition: int, claimed: Claim | None) -> str | None:
        """The ledger id for a partition without a claim; None if this worker has partition 0 and cannot claim it.

        `claimed` is this worker's new claim of partition 0.
        """
        if claimed is not None:
            return claimed.ledger
        if partition == 0:
            return new_ledger_id()
        if (zero := self.owned.get(0)) is not None:
            return None if zero.claim is None else common_id(zero.claim.ledger)
        first = Log(self.producer, self.topics.facts, 0, self.limits.facts)
        claims: list[Claim] = []

        def collect_claims(_: Log, records: Sequence[Record]) -> None:
            for record in records:
                if record.key == CLAIM_KEY and record.value:
                    with contextlib.suppress(ValueError):
                        claims.append(parse_claim(record.value))

        deadline = time.monotonic() + _FIRST_CLAIM_SECONDS
        while not claims:
            await self._read([first], collect_claims)
            if not claims:
                self._stop_if_moved()
                if time.monotonic() > deadline:
                    raise FatalError(
                        ExitCode.STALLED,
                        f"no worker claimed {self.topics.facts}[0] within {_FIRST_CLAIM_SECONDS:g} s",
                    )
                await asyncio.sleep(0.1)
        check_pseudonyms(claims[-1], self.pseudonyms, f"{self.topics.facts}[0]")
        return common_id(claims[-1].ledger)

    # ---- 4. what was published

    async def _compare(self, claimed: Sequence[OwnedPartition]) -> Mapping[int, Published]:
        """Touch every tally that differs from what is published; returns that, by partition."""
        published_by_partition = await self._published(sound(claimed))
        for owned in sound(claimed):
            published = published_by_partition[owned.partition]
            owned.complete.restored(published.complete)
            self._salvage.report(owned, published)
            owned.half_open(self.name, published.marker.get("seen_by", {}) if published.marker else {})
            if published.highest > owned.ledger.next:
                await self._expect_alone([owned])
                await self._salvage.outgrow(owned, published.highest, self._new_claim)
                if owned.quarantined is not None:
                    continue
                if owned.claim is not None and owned.claim.ledger != published.ledger:
                    published = Published(owned.claim.ledger)
            await run_in_slices(comparing(owned.shard, published))
        return published_by_partition

    async def _published(self, partitions: Sequence[OwnedPartition]) -> dict[int, Published]:
        """Read the tallies log of each partition."""
        # The last row of each ledger is its new claim, if it has one.
        published = {
            owned.partition: Published(owned.claim.ledger if owned.claim else None, owned.ledger.next - 1)
            for owned in partitions
        }
        for owned in partitions:
            owned.tallies.rewind()

        def on_records(log: Log, records: Sequence[Record]) -> None:
            published[log.partition].read(records)

        await self._read([owned.tallies for owned in partitions], on_records)
        return published

    async def _expect_alone(self, partitions: Sequence[OwnedPartition]) -> None:
        """Raise FatalError if these ledgers grew since they were read.

        A ledger that looks lost can belong to another writer: while this worker was paused, its successor claimed,
        wrote and published.
        """
        ends = [owned.ledger.next for owned in partitions]
        await self._replay(partitions)
        for owned, end in zip(partitions, ends, strict=True):
            if owned.ledger.next != end:
                raise FatalError(
                    ExitCode.ANOTHER_WRITER,
                    f"{owned.ledger.topic}[{owned.partition}] grew from {end} to {owned.ledger.next} meanwhile",
                )

    async def _repair(self, claimed: Sequence[OwnedPartition]) -> None:
        """Read the ledger a second time where a later, older record hides a row, and make its winner dirty."""
        hidden = {owned.ledger.tp: owned for owned in sound(claimed) if owned.shard.needs_rewrite}
        if not hidden:
            return
        _log.warning("repairing %d ledger rows", sum(len(owned.shard.needs_rewrite) for owned in hidden.values()))

        def on_records(log: Log, records: Sequence[Record]) -> None:
            hidden[log.tp].replay.rewrite(records)

        logs = [Log(self.producer, owned.ledger.topic, owned.partition) for owned in hidden.values()]
        await self._read(logs, on_records, {tp: owned.ledger.next for tp, owned in hidden.items()})
        for owned in hidden.values():
            if owned.shard.needs_rewrite:
                keys = sorted(owned.shard.needs_rewrite)[:3]
                where = f"{owned.ledger.topic}[{owned.partition}]"
                owned.quarantine(
                    f"{where} no longer has the rows of {keys}, which it had when it was read. Restart the worker"
                )

    # ---- 5. where the sources start

    async def _start(self, published: Mapping[int, Published]) -> None:
        """Set the positions of every partition. Raises FatalError if events are lost, unless that is accepted."""
        # Asked after the tallies are read: another worker may have processed events until then.
        offsets = await self._offsets(self.owned)
        self._stop_if_moved()
        known = {
            TP(topic, owned.partition): known_source(owned, topic, offsets, published.get(owned.partition))
            for owned in self.owned
            for topic in self.topics.sources
        }
        starts = {tp: start_of(source) for tp, source in known.items()}
        self._salvage.check_positions(sound(self.owned), starts)
        processed = {owned.partition for owned in sound(self.owned)}
        kept = {tp: start for tp, start in starts.items() if tp.partition in processed}
        for tp, start in kept.items():
            if start.note:
                _log.warning("%s[%d] %s", tp.topic, tp.partition, start.note)
        losses = "; ".join(f"{tp.topic}[{tp.partition}]: {start.lost}" for tp, start in kept.items() if start.lost)
        if losses and not self.accept_loss:
            raise FatalError(ExitCode.INPUT_LOST, losses)
        if losses:
            _log.warning("lost input accepted, continuing with the oldest events that are left: %s", losses)
        for owned in self.owned:
            own = {tp: start for tp, start in starts.items() if tp.partition == owned.partition}
            owned.restored(own, offsets.topic_ids)
            _half_open(owned, known)
            self._find_waiting(owned, known, published.get(owned.partition))
        # Offsets are committed when they are higher than before: without this, none would be for as long as that takes.
        lower = {tp: start.offset for tp, start in kept.items() if start.offset < (offsets.committed[tp] or 0)}
        if not await self.group.commit(lower):
            _log.info("the group refused the offsets at which these partitions start")

    def _find_waiting(self, owned: OwnedPartition, known: Mapping[TP, Known], published: Published | None) -> None:
        """Compare what the store of waiting evaluations has settled with ledger and topic."""
        if self.waiting is None or owned.waiting is None or owned.claim is None or owned.quarantined is not None:
            return
        source = known[TP(self.topics.evaluations, owned.partition)]
        place = Continuation(
            ledger=owned.claim.ledger,
            ledger_next=owned.ledger.next,
            start=owned.positions[self.topics.evaluations],
            end=source.end,
            topic_id=source.topic_id,
            old=not owned.replay.waited,
            anew=source.committed is None and source.tallied is None,
            shortened=published is not None and published.exceed_ledger,
        )
        marker = None if published is None else published.marker
        self.waiting.restored(owned.waiting, place, None if marker is None else marker.get("waiting"))


def _half_open(owned: OwnedPartition, known: Mapping[TP, Known]) -> None:
    """Let the circuit breaker be half open for what it saw in the topics that there are now."""
    sources = {tp.topic: source for tp, source in known.items() if tp.partition == owned.partition}
    seen_by = {
        worker: {each: at for each, at in seen.items() if each in sources and seen_is_left(at, sources[each])}
        for worker, seen in owned.seen_by.items()
    }
    owned.half_open(owned.worker, seen_by)
    if seen := owned.seen_before:
        _log.warning(
            "circuit breaker is half open: the invalid events that this worker saw before its restart become dead "
            "letters: %s",
            ", ".join(f"{topic}[{owned.partition}] up to offset {end - 1}" for topic, end in seen.items()),
        )
