"""Restore: taking partitions over. Starting, recovering and taking over are this one thing."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faust.types import TP

from aggregator.policy import Policy
from aggregator.shard import Shard
from aggregator.tallies import empty, parse_key
from streams.engine.checkpoint import Checkpoint
from streams.engine.partition import OwnedPartition
from streams.kafka.batches import Record
from streams.kafka.client import Capabilities
from streams.kafka.group import ConsumerGroup
from streams.kafka.topics import Topics
from streams.ledger.claim import CLAIM_KEY, SCHEMA, Claim, check_claim, new_ledger_id, parse_claim
from streams.ledger.log import Log, read_to_end
from streams.ledger.published import Published, unreadable
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from streams.runtime.heap import pause_collection
from streams.runtime.metrics import WorkerMetrics

_log = logging.getLogger(__name__)

_FIRST_CLAIM_SECONDS: Final = 60.0


class AssignmentChanged(EvalAlignmentError):
    """The assignment changed while it was being restored: this restore is given up, the next one follows."""


@dataclass(slots=True)
class Restore:
    """Brings owned partitions to the state of their ledger. The caller holds the checkpoint's lock.

    `owned` is the worker's map of partitions; it is changed in place. `moved` tells that the assignment is over.
    """

    name: str
    topics: Topics
    partitions: int
    policy: Policy
    accept_loss: bool
    capabilities: Capabilities
    group: ConsumerGroup
    producer: AIOKafkaProducer
    reader: AIOKafkaConsumer
    checkpoint: Checkpoint
    metrics: WorkerMetrics
    on_step: Callable[[str], None]
    owned: dict[int, OwnedPartition]
    rows: int = 0
    _moved: Callable[[], bool] = lambda: False

    async def __call__(self, moved: Callable[[], bool]) -> None:
        """Restore every assigned partition. Raises Moved, FatalError or KafkaError.

        1. The assignment must cover the same partitions of all three sources; shards not owned are dropped.
        2. Read the ledger to its end through the merge of live events.
        3. Claim what is newly owned, and read what came between.
        4. Compare with the published tallies: what differs is touched. What lost in the log is written again.
        5. Give up if the assignment moved.
        6. One checkpoint, which repairs and publishes the differences.
        7. Seek to what was committed, and where nothing was, to the log's start.
        """
        self._moved = moved
        self._assign()
        positions = await self._positions()
        self.on_step("assigned")
        with pause_collection():
            await self._replay(list(self.owned.values()))
            self.on_step("ledger read")
            claimed = [owned for owned in self.owned.values() if not owned.fully_published]
            lost = await self._lost_ledgers(claimed, positions)
            await self._claim(claimed)
            self.on_step("claimed")
            await self._compare(claimed)
            await self._repair(claimed)
            self.on_step("compared")
        self._give_up_if_moved()
        for owned in self.owned.values():
            owned.positions = {tp.topic: offset for tp, offset in positions[owned.partition].items()}
        if lost:
            await self.group.commit({tp: offset for p in lost for tp, offset in positions[p].items()})
        await self.checkpoint(claimed)
        self.on_step("restored")
        await self.group.seek({tp: offset for owned in self.owned.values() for tp, offset in owned.sources().items()})
        self._give_up_if_moved()

    # ---- 1. the assignment

    def _assign(self) -> None:
        assigned = self.group.assigned()
        by_topic = {topic: {tp.partition for tp in assigned if tp.topic == topic} for topic in self.topics.sources}
        if len({frozenset(partitions) for partitions in by_topic.values()}) != 1:
            raise FatalError(ExitCode.UNEXPECTED, f"the sources are not assigned alike: {by_topic}")
        partitions = by_topic[self.topics.annotations]
        if any(partition >= self.partitions for partition in partitions):
            raise FatalError(
                ExitCode.PARTITIONS_CHANGED, f"{self.partitions} at the start, now {max(partitions) + 1} or more"
            )
        for partition in set(self.owned) - partitions:
            del self.owned[partition]
        for partition in sorted(partitions - set(self.owned)):
            self.owned[partition] = OwnedPartition(
                partition,
                Shard(partition, self.policy),
                Log(self.producer, self.topics.facts, partition),
                Log(self.producer, self.topics.tallies, partition),
            )

    async def _positions(self) -> dict[int, dict[TP, int]]:
        """By partition, where each source goes on: what was committed, else the log's start."""
        sources = [TP(topic, partition) for topic in self.topics.sources for partition in self.owned]
        if not sources:
            return {}
        committed = await self.group.committed(sources)
        starts = await self.group.starts(sources)
        ends = await self.group.ends(sources) if self.capabilities.exact_ends else {}
        positions: dict[int, dict[TP, int]] = {partition: {} for partition in self.owned}
        lost = {}
        for tp in sources:
            offset = committed[tp]
            if offset is None:
                offset = starts[tp]
            elif offset < starts[tp] or offset > ends.get(tp, offset):
                lost[tp] = offset = starts[tp]
            positions[tp.partition][tp] = offset
        if lost:
            told = "; ".join(
                f"{tp.topic}[{tp.partition}]: committed {committed[tp]}, left are {starts[tp]} to {ends.get(tp, '?')}"
                for tp in lost
            )
            if not self.accept_loss:
                raise FatalError(ExitCode.INPUT_LOST, told)
            _log.warning("lost input is accepted, going on with the oldest events that are left: %s", told)
            await self.group.commit(lost)
        return positions

    # ---- 2. the ledger

    async def _replay(self, partitions: Sequence[OwnedPartition]) -> None:
        by_log = {owned.ledger.tp: owned for owned in partitions}
        before = self.rows
        started = time.monotonic()
        fold = lambda log, records: self._fold(by_log[log.tp], records)  # noqa: E731
        if not await read_to_end(self.reader, [owned.ledger for owned in partitions], fold, abandoned=self._moved):
            raise AssignmentChanged
        if self.rows > before:
            rows, seconds = self.rows - before, time.monotonic() - started
            _log.info("replayed %d ledger rows of %d partitions in %.2f s", rows, len(partitions), seconds)

    def _fold(self, owned: OwnedPartition, records: Sequence[Record]) -> None:
        replay = owned.shard.replay
        owned.unchanged_elsewhere = owned.unchanged_elsewhere and not records
        for record in records:
            key, value = record.key, record.value
            try:
                if key == CLAIM_KEY:
                    owned.claim = parse_claim(value)  # type: ignore[arg-type]
                else:
                    replay(key, value)  # type: ignore[arg-type]
            except (ValueError, TypeError) as error:
                raise unreadable(owned.ledger, record, error) from error
        self.rows += len(records)
        self.metrics.recovery_rows.inc(len(records))

    async def _lost_ledgers(
        self, claimed: Iterable[OwnedPartition], positions: Mapping[int, dict[TP, int]]
    ) -> list[int]:
        """Partitions whose ledger is gone although something was made from it; never a silent zero."""
        unclaimed = [owned for owned in claimed if owned.claim is None]
        if not unclaimed:
            return []
        published = await self._published(unclaimed)
        starts = await self.group.starts([tp for owned in unclaimed for tp in positions[owned.partition]])
        lost = [
            owned.partition
            for owned in unclaimed
            if published[owned.partition].records
            or any(offset > starts[tp] for tp, offset in positions[owned.partition].items())
        ]
        if lost:
            await self._expect_alone(unclaimed)
            told = f"{self.topics.facts} has no claim in partitions {lost}, but tallies or committed offsets exist"
            if not self.accept_loss:
                raise FatalError(ExitCode.LEDGER_LOST, told)
            _log.warning("a lost ledger is accepted, rebuilding from the source topics: %s", told)
            for partition in lost:
                positions[partition].update({tp: starts[tp] for tp in positions[partition]})
        return lost

    # ---- 3. the claim

    async def _claim(self, claimed: Sequence[OwnedPartition]) -> None:
        for owned in claimed:
            if owned.claim is not None:
                check_claim(owned.claim, self.partitions, f"{self.topics.facts}[{owned.partition}]")
        # Partition 0 first: its first claim makes the ledger id.
        claims: dict[int, Claim] = {}
        for owned in sorted(claimed, key=lambda owned: owned.partition):
            ledger = owned.claim.ledger if owned.claim else await self._first_id(owned.partition, claims.get(0))
            claims[owned.partition] = self._new_claim(ledger)
        offsets = await asyncio.gather(
            *(owned.ledger.append_blindly((CLAIM_KEY, claims[owned.partition].encode())) for owned in claimed)
        )
        by_log = {owned.ledger.tp: owned for owned in claimed}
        until = {owned.ledger.tp: offset + 1 for owned, offset in zip(claimed, offsets, strict=True)}
        fold = lambda log, records: self._fold(by_log[log.tp], records)  # noqa: E731
        if not await read_to_end(
            self.reader, [owned.ledger for owned in claimed], fold, until=until, abandoned=self._moved
        ):
            raise AssignmentChanged

    def _new_claim(self, ledger: str) -> Claim:
        return Claim(ledger, self.partitions, self.policy, SCHEMA, self.name, int(time.time() * 1000))

    async def _first_id(self, partition: int, claimed: Claim | None) -> str:
        """The ledger id for a partition that never had a claim."""
        if claimed is not None:
            return claimed.ledger
        if partition == 0:
            return new_ledger_id()
        if 0 in self.owned and (claim := self.owned[0].claim) is not None:
            return claim.ledger
        first = Log(self.producer, self.topics.facts, 0)
        found: list[Claim] = []

        def fold(_: Log, records: Sequence[Record]) -> None:
            found.extend(parse_claim(record.value) for record in records if record.key == CLAIM_KEY and record.value)

        deadline = time.monotonic() + _FIRST_CLAIM_SECONDS
        while not found:
            if not await read_to_end(self.reader, [first], fold, abandoned=self._moved):
                raise AssignmentChanged
            if not found:
                self._give_up_if_moved()
                if time.monotonic() > deadline:
                    raise FatalError(ExitCode.STALLED, f"nobody claimed {self.topics.facts}[0]")
                await asyncio.sleep(0.1)
        return found[-1].ledger

    # ---- 4. what was published

    async def _compare(self, claimed: Sequence[OwnedPartition]) -> None:
        published = await self._published(claimed)
        for owned in claimed:
            told = published[owned.partition]
            if told.highest > owned.ledger.next:
                await self._shortened(owned, told.highest)
            # Replaying touched every tally; what is published already needs no second time.
            owned.shard.dirty.update(owned.shard.drain().rows)
            tallies = told.tallies()
            for key, payload in owned.shard.tallies():
                if tallies.pop(key, None) != (self.policy.value, payload):
                    owned.shard.touch(key)
            for key, kept in tallies.items():
                # Emptied under another policy is not enough: readers drop what such a predecessor did not close.
                if kept != (self.policy.value, empty(parse_key(key))):
                    owned.shard.touch(key)

    async def _published(self, partitions: Sequence[OwnedPartition]) -> dict[int, Published]:
        told = {owned.partition: Published(owned.claim.ledger if owned.claim else None) for owned in partitions}
        for owned in partitions:
            owned.tallies.next = 0
        fold = lambda log, records: told[log.partition].fold(log, records)  # noqa: E731
        if not await read_to_end(self.reader, [owned.tallies for owned in partitions], fold, abandoned=self._moved):
            raise AssignmentChanged
        return told

    async def _expect_alone(self, partitions: Sequence[OwnedPartition]) -> None:
        """Make sure that these ledgers end where they were read to.

        What looks like a lost ledger is another writer's when this worker stood still since: its successor claimed,
        wrote and published.
        """
        ends = [owned.ledger.next for owned in partitions]
        await self._replay(partitions)
        for owned, end in zip(partitions, ends, strict=True):
            if owned.ledger.next != end:
                raise FatalError(
                    ExitCode.ANOTHER_WRITER,
                    f"{owned.ledger.topic}[{owned.partition}] grew from {end} to {owned.ledger.next} while restoring",
                )

    async def _shortened(self, owned: OwnedPartition, highest: int) -> None:
        """The ledger ends before what was published from it."""
        await self._expect_alone([owned])
        ledger = owned.ledger
        told = f"{ledger.topic}[{ledger.partition}] ends at {ledger.next}, tallies were published for {highest}"
        if not self.accept_loss:
            raise FatalError(ExitCode.LEDGER_LOST, told)
        # Readers keep what has the higher position: go on above everything that was ever published.
        _log.warning("a shortened ledger is accepted: %s; filling it up to there", told)
        assert owned.claim is not None
        await ledger.append(repeat((CLAIM_KEY, owned.claim.encode()), highest - ledger.next + 1))

    async def _repair(self, claimed: Sequence[OwnedPartition]) -> None:
        """Read the ledger a second time where a row lost against a later, older record: its winner becomes dirty."""
        needs_rewrite = {owned.ledger.tp: owned for owned in claimed if owned.shard.needs_rewrite}
        if not needs_rewrite:
            return
        _log.warning(
            "repairing %d rows of the ledger", sum(len(owned.shard.needs_rewrite) for owned in needs_rewrite.values())
        )

        def fold(log: Log, records: Sequence[Record]) -> None:
            shard = needs_rewrite[log.tp].shard
            for record in records:
                if record.key in shard.needs_rewrite:
                    shard.repair(record.key, record.value)  # type: ignore[arg-type]

        again = [Log(self.producer, owned.ledger.topic, owned.partition) for owned in needs_rewrite.values()]
        until = {tp: owned.ledger.next for tp, owned in needs_rewrite.items()}
        if not await read_to_end(self.reader, again, fold, until=until, abandoned=self._moved):
            raise AssignmentChanged
        for owned in needs_rewrite.values():
            if owned.shard.needs_rewrite:
                keys = sorted(owned.shard.needs_rewrite)[:3]
                raise FatalError(ExitCode.LEDGER_LOST, f"winners of {keys} are not in the ledger any more")

    # ---- 5. giving up

    def _give_up_if_moved(self) -> None:
        if self._moved():
            raise AssignmentChanged
