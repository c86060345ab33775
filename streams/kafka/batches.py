"""Batches: the fetched records of one partition, taken from aiokafka before it builds records one by one.

aiokafka keeps each fetched response until a consumer asks for records. `drain` takes whole responses and unpacks their
record batches itself. That needs 20 to 30 % less CPU time per event, yields exact offsets after control batches and
compacted records, and a `start` that reveals a lost batch. There is no fallback: the versions are pinned, and the
contract test lists every private name used here.

Every reader of topics reads through this module, so no record stops one: `streams.kafka.record_batches` yields all
that can be read, and something in the place of the rest.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from streams.kafka.reading_order import ReadingOrder
from streams.kafka.record_batches import (
    CorruptBatchError,
    Record,
    UnreadableRecords,
    is_abort_marker,
    read,
    split,
)
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

__all__ = ["Batch", "CorruptPartitionError", "Record", "UnreadableRecords", "drain", "fetch", "wait_for_fetch"]

FETCHES_OF_CORRUPT: Final = 4
"""How often a batch with a wrong checksum is fetched before its partition counts as corrupt."""
_ENOUGH_BYTES: Final = 32 << 20
"""Bytes after decompression after which no more is taken: the rest of a response is fetched again, later. A batch of
2 KiB may need as much time as one of 64 MiB."""
_ENOUGH_RECORDS: Final = 100_000
"""Number of records after which no more is taken of a response."""


class CorruptPartitionError(EvalAlignmentError, CorruptRecordException):
    """A batch stays corrupt, however often it is fetched. The message names topic and partition."""

    exit_code = ExitCode.BROKER_LOST

    def __init__(self, why: str, partition: TopicPartition) -> None:
        super().__init__(why)
        self.why = why
        self.partition = partition


class _Response:
    """Stands for `MemoryRecords` in aiokafka's fetcher, and keeps the bytes of the response for `drain`.

    `MemoryRecords` does not return them. It parses on its own for whoever asks the consumer for records.
    """

    __slots__ = ("_parsed", "data")

    def __init__(self, data: bytes | None) -> None:
        self.data = data or b""
        self._parsed: Any = None

    def has_next(self) -> bool:
        return bool(self.data) if self._parsed is None else self._parsed.has_next()

    def size_in_bytes(self) -> int:
        return len(self.data)

    def next_batch(self) -> Any:
        if self._parsed is None:
            self._parsed = MemoryRecords(self.data)
        return self._parsed.next_batch()


aiokafka_fetcher.MemoryRecords = _Response  # type: ignore[attr-defined]


@dataclass(slots=True)
class Batch:
    """The records of one partition from one fetch.

    Offsets from `start` to `next` without a record are compacted, aborted, or control batches.
    """

    topic: str
    partition: int
    start: int
    """The requested offset."""
    next: int
    """The offset to request, and to commit, afterwards."""
    records: list[Record]
    generation: int = -1
    """The group's generation at the fetch; -1 outside of a group."""
    corrupt: str | None = None
    """Why nothing after `next` can be read: the partition is corrupt on the broker's disk."""
    producers: Sequence[tuple[int, int | None]] = ()
    """First offset and producer id of each record batch with records, in order."""


class _Failures:
    """How often the same bytes were corrupt, by partition."""

    def __init__(self) -> None:
        self._counts: dict[TopicPartition, tuple[int, int]] = {}

    def count(self, partition: TopicPartition, offset: int, why: str) -> str | None:
        """Count a corrupt response; returns what is wrong when it is not to be fetched again."""
        at, count = self._counts.get(partition, (offset, 0))
        count = count + 1 if at == offset else 1
        self._counts[partition] = offset, count
        if count < FETCHES_OF_CORRUPT:
            return None
        del self._counts[partition]
        return f"{partition.topic}[{partition.partition}]: {why}, fetched {count} times from {offset}"


_failures: WeakKeyDictionary[Fetcher, _Failures] = WeakKeyDictionary()


def drain(
    fetcher: Fetcher,
    wanted: Collection[tuple[str, int]],
    enough: int,
    generation: int = -1,
    order: ReadingOrder | None = None,
) -> list[Batch]:
    """Take fetched responses of the `wanted` partitions, without waiting, until they have `enough` records.

    They are taken in the order in which they came, or in `order`. The consumer's positions move past these records. A
    batch that is corrupt is fetched again, three times; a `Batch` that states so follows, and the caller decides on the
    partition. Raises what the fetch of a partition raised.
    """
    batches: list[Batch] = []
    records = unpacked = 0
    for partition in list(fetcher._records) if order is None else order.of(fetcher._records):
        if partition not in wanted:
            if not fetcher._subscriptions.is_assigned(partition):
                del fetcher._records[partition]
            continue
        if records >= enough or unpacked >= _ENOUGH_BYTES:
            break
        fetched = fetcher._records.pop(partition)
        fetcher._notify(fetcher._wait_consume_future)
        if not isinstance(fetched, FetchResult):
            fetched.check_raise()
        batch, size = _unpack(fetched, partition, generation, fetcher)
        unpacked += size
        if order is not None:
            order.took(partition)
        if batch is not None:
            batches.append(batch)
            records += len(batch.records)
            if batch.corrupt is not None:
                break
    return batches


def _unpack(
    fetched: FetchResult, partition: TopicPartition, generation: int, fetcher: Fetcher
) -> tuple[Batch | None, int]:
    """The batch of one response, and its bytes after decompression.

    None if its partition was sought or revoked since the fetch, or is fetched again.
    """
    if not fetched.check_assignment(partition) or not fetched.has_more():
        return None, 0
    part = fetched._partition_records
    start = part.next_fetch_offset
    records: list[Record] = []
    producers: list[tuple[int, int | None]] = []
    following, unpacked, corrupt = start, 0, None
    # Decided once: the list is used up while the response is read.
    aborted = part._isolation_level == READ_COMMITTED and bool(part._aborted_transactions)
    try:
        for batch, raw in split(part._records.data):
            following = max(following, batch.next_offset)
            if (aborted or batch.is_control_batch) and _is_skipped(part, batch, raw):
                continue
            content, size = read(batch, raw)
            records += content if content and content[0].offset >= start else _after(content, start)
            producers.append((batch.base_offset, batch.producer_id))
            unpacked += size
            if unpacked >= _ENOUGH_BYTES or len(records) >= _ENOUGH_RECORDS:
                break
    except CorruptBatchError as error:
        if following == start:
            # What is before it is read first.
            corrupt = _failures.setdefault(fetcher, _Failures()).count(partition, start, str(error))
            if corrupt is None:
                fetched._partition_records = None
                return None, 0
    part.next_fetch_offset = following
    fetched._update_position()
    fetched._partition_records = None
    drained = Batch(partition.topic, partition.partition, start, following, records, generation, corrupt, producers)
    return drained, unpacked


def _is_skipped(part: Any, batch: Any, raw: memoryview) -> bool:
    """Whether a batch has no records for readers: a control batch, or one of an aborted transaction."""
    if part._isolation_level == READ_COMMITTED and batch.producer_id is not None:
        part._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and is_abort_marker(batch, raw):
            part._aborted_producers.discard(batch.producer_id)
    return bool(batch.is_control_batch or (batch.is_transactional and batch.producer_id in part._aborted_producers))


def _after(records: list[Record], start: int) -> list[Record]:
    """The records from an offset on. Of those that cannot be read, it may be in the middle."""
    for record in records:
        if isinstance(record, UnreadableRecords) and record.offset < start < record.offset + record.count:
            record.offset = start
    return [record for record in records if record.offset >= start]


async def fetch(consumer: AIOKafkaConsumer, wanted: Collection[tuple[str, int]], wait_seconds: float) -> list[Batch]:
    """Return at most one batch of the `wanted` partitions of a consumer without a group, after a short wait if none.

    One, because unpacked records need many times the memory of the response. Raises CorruptPartitionError.
    """
    fetcher: Any = consumer._fetcher
    coordinator: Any = consumer._coordinator
    coordinator.check_errors()
    batches = drain(fetcher, wanted, 1)
    if not batches:
        await wait_for_fetch(fetcher, wait_seconds)
    # The other batches are taken already; the corrupt one is fetched again.
    if len(batches) > 1 and batches[-1].corrupt is not None:
        del batches[-1]
    for batch in batches:
        if batch.corrupt is not None:
            raise CorruptPartitionError(batch.corrupt, TopicPartition(batch.topic, batch.partition))
    return batches


async def wait_for_fetch(fetcher: Fetcher, seconds: float) -> None:
    """Wait until a response is fetched, at most `seconds`. Raises what the coordinator passes to its waiters."""
    waiter: asyncio.Future[None] = fetcher._create_fetch_waiter()
    done, _ = await asyncio.wait([waiter], timeout=seconds)
    if done:
        waiter.result()
    else:
        waiter.cancel()
