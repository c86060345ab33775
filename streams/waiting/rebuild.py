"""Rebuild: read again what the store of waiting evaluations lacks, while live events are processed.

For each gap, of the partition with the least to read first:

1. What the topic no longer has is told, if it was young enough to be kept; what is too old is passed over.
2. Read the rest in fetches, committed records only. Fold a few hundred at a time between awaits: a record of a known
   item is merged, any other is put into the store undecoded. The offsets that were folded are covered.

A partition is read only while it is ready, and covered only as long as the store stays the same.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.events.decoder import MAX_VALUE_BYTES
from streams.kafka.batches import Batch, Record, fetch
from streams.kafka.client import KafkaClient
from streams.waiting.coverage import OffsetRanges
from streams.waiting.partition import WaitingPartition
from streams.waiting.waiting import WaitingEvaluations

_log = logging.getLogger(__name__)

FOLD_RECORDS: Final = 500
"""Records folded between two awaits."""
LOOK_SECONDS: Final = 0.2
"""Time between two looks for gaps while no partition has one."""
RETRY_SECONDS: Final = 5.0
"""Time after a failure of the broker."""
FETCHES: Final = 200
"""Fetches after which the next gap is chosen."""
SHARE: Final = 4
"""Live events get all the time but the SHARE-th part."""
_READ_BYTES: Final = 1 << 20
_FETCH_WAIT_SECONDS: Final = 0.1
_QUIET_FETCHES: Final = 100
_REQUEST_TIMEOUT_MS: Final = 30_000


class RebuiltPartition(Protocol):
    """An owned partition, as far as a rebuild knows it."""

    partition: int
    ready: bool
    waiting: WaitingPartition | None
    positions: dict[str, int]

    def applied(self) -> None:
        """Note that events were merged into the shard."""

    async def thawed(self) -> None:
        """Wait until the shard may change."""


def new_rebuild_reader(client: KafkaClient) -> AIOKafkaConsumer:
    """A consumer without a group that returns committed records only, as live events are."""
    return AIOKafkaConsumer(
        **client.settings,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=int(_FETCH_WAIT_SECONDS * 1000),
        max_partition_fetch_bytes=_READ_BYTES,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
    )


@dataclass(slots=True)
class Rebuild:
    """Closes the gaps of all owned partitions of a worker."""

    waiting: WaitingEvaluations
    reader: AIOKafkaConsumer
    """A consumer of its own: see `new_rebuild_reader`."""
    partitions: Callable[[], Iterable[RebuiltPartition]]
    """Returns the owned partitions."""
    busy: Callable[[], bool] = lambda: False
    """Whether live events come."""

    def left(self) -> Mapping[int, int]:
        """By owned partition, the number of offsets that are still to be read."""
        return {owned.partition: gaps.count for owned in self.partitions() if (gaps := self._gaps(owned)) is not None}

    async def run(self) -> None:
        """Close gaps until cancelled."""
        told: set[int] = set()
        failed: dict[int, float] = {}
        while True:
            left = {partition: count for partition, count in self.left().items() if count}
            for partition in told - left.keys():
                _log.info("waiting evaluations of partition %d: everything was read again", partition)
            for partition in left.keys() - told:
                _log.info("waiting evaluations of partition %d: reading %d offsets", partition, left[partition])
            told = set(left)
            # A partition that cannot be read, as its log is corrupt on the broker's disk, holds up no other.
            due = time.monotonic() - RETRY_SECONDS
            owned = min(
                (
                    owned
                    for owned in self.partitions()
                    if owned.ready and owned.partition in left and failed.get(owned.partition, due) <= due
                ),
                key=lambda owned: left[owned.partition],
                default=None,
            )
            if owned is None or self.waiting.away:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            try:
                await self._close_gap(owned)
            except (KafkaError, TimeoutError) as error:
                if owned.partition not in failed:
                    _log.warning("waiting evaluations of partition %d are read later: %s", owned.partition, error)
                failed[owned.partition] = time.monotonic()
            else:
                failed.pop(owned.partition, None)

    def _gaps(self, owned: RebuiltPartition) -> OffsetRanges | None:
        part = owned.waiting
        if part is None or not part.begun:
            return None
        return part.gaps(owned.positions.get(self.waiting.topic, 0))

    async def _close_gap(self, owned: RebuiltPartition) -> None:
        """Read from the first gap of a partition, to its end or for some time."""
        part, mark = owned.waiting, self.waiting.mark
        assert part is not None, "it has gaps"
        tp = TopicPartition(self.waiting.topic, owned.partition)
        oldest: int = (await self.reader.beginning_offsets([tp]))[tp]
        limit = self.waiting.before
        since = limit if limit is not None else int(time.time() * 1000) - self.waiting.keep_ms
        young = (await self.reader.offsets_for_times({tp: since}))[tp]
        gaps = self._gaps(owned)
        if not gaps:
            return
        gap = _Gap(owned, part, mark, *gaps.intervals[0])
        if not self._is_current(gap):
            return
        first = max(gap.position, min(oldest, gap.end))
        if first > gap.position and young is not None and young.offset <= oldest:
            self._tell_missing(tp, gap.position, first)
        if limit is not None:
            # What is older is not kept.
            first = max(first, gap.end if young is None else min(young.offset, gap.end))
        gap.cover(first)
        self.reader.assign([tp])
        try:
            self.reader.seek(tp, first)
            await self._read(tp, gap)
        finally:
            # Never `unsubscribe`: when that is quick, aiokafka's fetch task dies on the missing subscription.
            self.reader.assign([])

    def _is_current(self, gap: "_Gap") -> bool:
        """Whether what is read of a gap may be folded, and is covered then."""
        owned = gap.owned
        mine = any(each is owned for each in self.partitions())
        return mine and owned.ready and owned.waiting is gap.part and gap.part.begun and gap.mark == self.waiting.mark

    def _tell_missing(self, tp: TopicPartition, start: int, end: int) -> None:
        self.waiting.missed(tp.partition, end - start)
        _log.error(
            "%s[%d] no longer has the offsets %d to %d, which the store of waiting evaluations lacks: evaluations may "
            "be missing. Give the topic a retention.ms of at least `wait_days` and 7 days",
            tp.topic,
            tp.partition,
            start,
            end - 1,
        )

    async def _read(self, tp: TopicPartition, gap: "_Gap") -> None:
        quiet = 0
        for _ in range(FETCHES):
            if gap.position >= gap.end or quiet >= _QUIET_FETCHES:
                return
            await self.waiting.room()
            if not self.waiting.may_merge:
                await asyncio.sleep(_FETCH_WAIT_SECONDS)
                continue
            batches = await fetch(self.reader, {tp}, _FETCH_WAIT_SECONDS)
            quiet = 0 if batches else quiet + 1
            for batch in batches:
                # Retention took what was asked for, if the batch starts later.
                if batch.start > gap.position or not await self._fold(gap, batch):
                    return
                self.waiting.on_step("rebuilt")

    async def _fold(self, gap: "_Gap", batch: Batch) -> bool:
        """Fold a batch in pieces; False when it is not covered by that."""
        records = [record for record in batch.records if gap.position <= record.offset < gap.end]
        for first in range(0, len(records), FOLD_RECORDS):
            await gap.owned.thawed()
            started = time.perf_counter()
            piece = records[first : first + FOLD_RECORDS]
            if not self._fold_piece(gap, piece):
                return False
            seconds = time.perf_counter() - started
            await asyncio.sleep((SHARE - 1) * seconds if self.busy() else 0)
        if not self._is_current(gap):
            return False
        gap.cover(min(batch.next, gap.end))
        return True

    def _fold_piece(self, gap: "_Gap", records: Sequence[Record]) -> bool:
        """Merge records of known items, let the others wait, and cover them; False when that does not cover them."""
        if not self._is_current(gap):
            return False
        part = gap.part
        known, unknown = list[Record](), list[Record]()
        has_item = part.shard.has_item
        for record in records:
            key, value = record.key, record.value
            if key is None or value is None or len(value) > MAX_VALUE_BYTES:
                continue
            try:
                item = key.decode()
            except UnicodeDecodeError:
                continue
            (known if has_item(item) else unknown).append(record)
        self.waiting.put(part, unknown)
        # A record that is not accepted has its dead letter already.
        if known and self.waiting.merge(part, known):
            gap.owned.applied()
        if gap.mark != self.waiting.mark:
            return False
        gap.cover(records[-1].offset + 1)
        return True


@dataclass(slots=True)
class _Gap:
    """A gap that is read; its offsets before `position` are covered."""

    owned: RebuiltPartition
    part: WaitingPartition
    mark: int
    """Of the store that lacks it."""
    position: int
    end: int

    def cover(self, following: int) -> None:
        """Everything before this offset is in the store, or dealt with."""
        self.part.covered = self.part.covered.with_interval(self.position, following)
        self.position = max(self.position, following)
