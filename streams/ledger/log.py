"""Owned log partitions: append with a check that nobody else writes, and read to the end in bulk.

A worker that owns a partition is its only writer. It therefore knows the offset of its next record; an acknowledgement
with a different offset means that another process writes, and the worker ends.
"""

# ruff: noqa: SLF001 -- a contract test covers the private names of aiokafka

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from streams.kafka.batches import Record, fetch
from streams.kafka.client import Capabilities, KafkaClient
from streams.kafka.record_limits import BATCH_BYTES, TOO_LARGE, too_large
from streams.runtime.chunks import Chunks
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError

REQUEST_TIMEOUT_MS: Final = 30_000

READ_BYTES: Final = 128 << 10
"""Compressed bytes of one fetch per partition, about 3,500 rows. More does not make reading faster, but needs more
memory, which the process keeps, and delays the events during an audit."""
_READ_WAIT_SECONDS: Final = 0.02
_ENDS_TIMEOUT_SECONDS: Final = 5.0
_NO_HEADERS: Final[list[tuple[str, bytes | None]]] = []

LogRow = tuple[bytes, bytes | None]
"""Key and value of a record. Compaction removes a key whose last value is null."""
OnRecords = Callable[["Log", Sequence[Record]], None]
"""Handles the next records of a log."""


def new_producer(client: KafkaClient, capabilities: Capabilities, batch_bytes: int = BATCH_BYTES) -> AIOKafkaProducer:
    """The producer of everything that a worker writes, in batches of at most `batch_bytes` before compression.

    It compresses with zstd because aiokafka fixes lz4 at level 9, which needs seven times the CPU time. Faust's own
    producer waits for 20 minutes and hides errors.
    """
    producer = AIOKafkaProducer(
        **client.settings,
        acks="all",
        enable_idempotence=capabilities.idempotence,
        compression_type="zstd",
        max_batch_size=batch_bytes,
        max_request_size=BATCH_BYTES + 64 * 1024,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    if capabilities.idempotence:
        # It retries without end, except for a partition without a leader: a broker that stops in order leaves no other
        # sign.
        producer._message_accumulator._batch_ttl = math.inf
    return producer


def new_reader(client: KafkaClient) -> AIOKafkaConsumer:
    """A consumer without a group, which reads owned logs and asks for their end offsets."""
    return AIOKafkaConsumer(
        **client.settings,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=int(_READ_WAIT_SECONDS * 1000),
        max_partition_fetch_bytes=READ_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )


class Log:
    """One owned partition of a log topic.

    Args:
        producer: appends to it.
        topic: the log topic.
        partition: its partition.
        limit: largest batch in bytes that the topic takes, as the broker reported it; None when it did not.
    """

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int, limit: int | None = None) -> None:
        self._producer = producer
        self.topic = topic
        self.partition = partition
        self.limit = limit
        self.next = 0
        """Offset of the next record to read or to write."""
        self.appended = 0
        """The broker's timestamp of the last batch that was appended, in milliseconds; 0 when it has none."""
        self.producers: Sequence[tuple[int, int | None]] = ()
        """While records are handled, first offset and producer id of the record batches that they are in."""

    @property
    def tp(self) -> TopicPartition:
        """The partition as aiokafka names it."""
        return TopicPartition(self.topic, self.partition)

    def rewind(self) -> None:
        """Read from the start again."""
        self.next = 0

    async def append_blindly(self, row: LogRow) -> int:
        """Append one row without checking its offset, and return that offset; `next` does not move.

        Only an acknowledgement is a reliable source for the end of a log.
        """
        (batch,) = self._batches([row])
        written = await self._acknowledged(
            await self._producer.send_batch(batch, self.topic, partition=self.partition), batch
        )
        offset: int = written.offset
        return offset

    async def append(self, rows: Iterable[LogRow]) -> int:
        """Append rows in this order; on return all are acknowledged, and `next` is the offset after them.

        Returns the bytes of their batches as they were sent.

        Raises FatalError (another writer) if an acknowledged batch has an unexpected offset, FatalError (record too
        large) if the topic does not take a row, and KafkaError if the broker refuses the rows. While the broker is
        unavailable, an idempotent producer retries without end; any other producer gives up after 30 s.
        """
        acknowledgements = []
        for batch in self._batches(rows):
            count = batch.record_count()
            future = await self._producer.send_batch(batch, self.topic, partition=self.partition)
            acknowledgements.append((future, count, batch))
        size = 0
        for future, count, batch in acknowledgements:
            written = await self._acknowledged(future, batch)
            self.expect(written.offset)
            self.next += count
            self.appended = max(written.timestamp or 0, 0)
            size += batch.size()
        return size

    async def _acknowledged(self, future: Awaitable[RecordMetadata], batch: Any) -> RecordMetadata:
        try:
            return await future
        except TOO_LARGE as error:
            raise too_large(f"{self.topic}[{self.partition}]", batch, self.limit) from error

    def _batches(self, rows: Iterable[LogRow]) -> Iterable[Any]:
        """The rows as batches, written to the builder inside aiokafka's: the outer one takes 2.7 times as long."""
        now = int(time.time() * 1000)
        batch: Any = self._producer.create_batch()
        append, count = batch._builder.append, 0
        for key, value in rows:
            if append(count, now, key, value, _NO_HEADERS) is None:
                batch._relative_offset = count
                yield batch
                batch = self._producer.create_batch()
                append, count = batch._builder.append, 0
                append(count, now, key, value, _NO_HEADERS)
            count += 1
        if count:
            batch._relative_offset = count
            yield batch

    def expect(self, offset: int) -> None:
        """Raise FatalError (another writer) unless the broker's offset is `next`."""
        if offset != self.next:
            raise FatalError(
                ExitCode.ANOTHER_WRITER,
                f"{self.topic}[{self.partition}]: expected offset {self.next}, the broker reports {offset}",
            )


async def read_to_end(
    reader: AIOKafkaConsumer,
    logs: Sequence[Log],
    on_records: OnRecords,
    *,
    until: Mapping[TopicPartition, int] | None = None,
    abandoned: Callable[[], bool] = lambda: False,
) -> bool:
    """Read several logs concurrently, from their `next` to their ends; `next` moves along.

    Args:
        reader: a consumer without a group.
        logs: the logs to read.
        on_records: handles the records of one log, in order.
        until: end offset by partition; without it, the end is the one that fetches report.
        abandoned: asked before each fetch whether to stop.

    Returns False if `abandoned` stopped the reading. Raises FatalError if the broker does not answer, KafkaError.
    """
    if not logs:
        return True
    reader.assign([log.tp for log in logs])
    try:
        for log in logs:
            reader.seek(log.tp, log.next)
        return await _read(reader, {log.tp: log for log in logs}, on_records, until, abandoned)
    finally:
        # Never `unsubscribe`: when that is quick, aiokafka's fetch task dies on the missing subscription.
        reader.assign([])


async def _read(
    reader: AIOKafkaConsumer,
    pending: dict[TopicPartition, Log],
    on_records: OnRecords,
    until: Mapping[TopicPartition, int] | None,
    abandoned: Callable[[], bool],
) -> bool:
    progress_at = time.monotonic()
    chunks = Chunks()
    while pending:
        if abandoned():
            return False
        for batch in await fetch(reader, pending, _READ_WAIT_SECONDS):
            log = pending[TopicPartition(batch.topic, batch.partition)]
            log.producers = batch.producers
            for records in chunks.of(batch.records):
                on_records(log, records)
                chunks.handled()
                log.next = records[-1].offset + 1
                # Let heartbeats, health checks and other tasks run.
                await asyncio.sleep(0)
            log.next = batch.next
            # Once more, as compaction may have removed all records of a batch.
            await asyncio.sleep(0)
            progress_at = time.monotonic()
        for tp, log in list(pending.items()):
            end = until[tp] if until is not None else reader.highwater(tp)
            if end is not None and log.next >= end:
                del pending[tp]
        if time.monotonic() - progress_at > REQUEST_TIMEOUT_MS / 1000:
            raise FatalError(ExitCode.BROKER_LOST, f"the broker did not answer while {sorted(pending)} were read")
    return True


async def end_offsets(reader: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """End offsets, asked from the broker. Raises KafkaError or TimeoutError if it does not answer within 5 s."""
    async with asyncio.timeout(_ENDS_TIMEOUT_SECONDS):
        ends: dict[TopicPartition, int] = await reader.end_offsets(list(partitions))
        return ends
