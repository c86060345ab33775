"""Owned log partitions: appending with a proof that nobody else writes, and reading to the end in bulk.

A worker that owns a partition is its only writer. It therefore knows the offset that its next record must get; an
acknowledgement with another one means that somebody else wrote, and the worker ends.
"""

# ruff: noqa: SLF001 -- what is used of aiokafka has a contract test

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.kafka.batches import Record, fetch
from streams.kafka.client import Capabilities, KafkaClient
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError

REQUEST_TIMEOUT_MS: Final = 30_000
BATCH_BYTES: Final = 768 * 1024
"""Largest batch before compression: it fits into a broker's default message size whatever its content."""

READ_BYTES: Final = 128 << 10
"""What a reader takes of a partition at once, compressed: some 3,500 rows. More makes reading no faster, stays in the
process as memory that it once needed, and in an audit holds up the work that goes on."""
_READ_WAIT_SECONDS: Final = 0.02
_FOLD_AT_ONCE: Final = 2000
_ENDS_TIMEOUT_SECONDS: Final = 5.0
_NO_HEADERS: Final[list[tuple[str, bytes | None]]] = []

LogRow = tuple[bytes, bytes]
Fold = Callable[["Log", Sequence[Record]], None]


def new_producer(client: KafkaClient, capabilities: Capabilities) -> AIOKafkaProducer:
    """The producer of everything a worker writes.

    zstd: aiokafka fixes lz4 at level 9, which costs seven times as much CPU. Faust's own producer would wait
    20 minutes and hide errors.
    """
    producer = AIOKafkaProducer(
        **client.settings,
        acks="all",
        enable_idempotence=capabilities.idempotence,
        compression_type="zstd",
        max_batch_size=BATCH_BYTES,
        max_request_size=BATCH_BYTES + 64 * 1024,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    if capabilities.idempotence:
        # It tries again without end, but not for a partition without a leader, which is all that a broker leaves behind
        # that was stopped in good order.
        producer._message_accumulator._batch_ttl = math.inf
    return producer


def new_reader(client: KafkaClient) -> AIOKafkaConsumer:
    """A consumer without a group, for reading owned logs and asking for their ends."""
    return AIOKafkaConsumer(
        **client.settings,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=int(_READ_WAIT_SECONDS * 1000),
        max_partition_fetch_bytes=READ_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )


class Log:
    """One owned partition of a log topic. `next` is the offset that the next record will get."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int) -> None:
        self._producer = producer
        self.topic = topic
        self.partition = partition
        self.next = 0

    @property
    def tp(self) -> TopicPartition:
        """The partition as aiokafka names it."""
        return TopicPartition(self.topic, self.partition)

    async def append_blindly(self, row: LogRow) -> int:
        """Append one row without expecting its offset, and return the one it got; `next` does not move.

        Only an acknowledgement knows the end of a log for sure.
        """
        (batch,) = self._batches([row])
        written = await (await self._producer.send_batch(batch, self.topic, partition=self.partition))
        offset: int = written.offset
        return offset

    async def append(self, rows: Iterable[LogRow]) -> None:
        """Write rows in their order; all are acknowledged when this returns, and `next` is behind them.

        Raises FatalError (another writer) when an acknowledged batch is not where it must be, KafkaError when the
        broker refuses. While it is away an idempotent producer tries again, without end; another one gives up after
        30 s.
        """
        acknowledgements = []
        for batch in self._batches(rows):
            count = batch.record_count()
            future = await self._producer.send_batch(batch, self.topic, partition=self.partition)
            acknowledgements.append((future, count))
        for future, count in acknowledgements:
            written = await future
            self.expect(written.offset)
            self.next += count

    def _batches(self, rows: Iterable[LogRow]) -> Iterable[Any]:
        """The rows as batches. They go to the builder inside aiokafka's one: the outer one takes 2.7 times as long."""
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
        """Check an offset that the broker tells against `next`."""
        if offset != self.next:
            raise FatalError(
                ExitCode.ANOTHER_WRITER,
                f"{self.topic}[{self.partition}]: expected offset {self.next}, the broker says {offset}",
            )


async def read_to_end(
    reader: AIOKafkaConsumer,
    logs: Sequence[Log],
    fold: Fold,
    *,
    until: Mapping[TopicPartition, int] | None = None,
    abandoned: Callable[[], bool] = lambda: False,
) -> bool:
    """Read logs from their `next` to their ends, all at once; `next` moves along.

    The end is what the fetches themselves tell, or the offsets of `until`. `fold` gets the records of one
    fetch of one log. False when `abandoned` said to give up half-way.
    """
    if not logs:
        return True
    reader.assign([log.tp for log in logs])
    try:
        for log in logs:
            reader.seek(log.tp, log.next)
        return await _read(reader, {log.tp: log for log in logs}, fold, until, abandoned)
    finally:
        # Never `unsubscribe`: when that is quick, aiokafka's fetch task dies on the missing subscription.
        reader.assign([])


async def _read(
    reader: AIOKafkaConsumer,
    pending: dict[TopicPartition, Log],
    fold: Fold,
    until: Mapping[TopicPartition, int] | None,
    abandoned: Callable[[], bool],
) -> bool:
    progress_at = time.monotonic()
    while pending:
        if abandoned():
            return False
        for batch in await fetch(reader, pending, _READ_WAIT_SECONDS):
            log = pending[TopicPartition(batch.topic, batch.partition)]
            # At least once: a batch may have lost all its records to compaction.
            for start in range(0, len(batch.records) or 1, _FOLD_AT_ONCE):
                records = batch.records[start : start + _FOLD_AT_ONCE]
                fold(log, records)
                if records:
                    log.next = records[-1].offset + 1
                # Heartbeats, health checks and the other tasks go on.
                await asyncio.sleep(0)
            log.next = batch.next
            progress_at = time.monotonic()
        for tp, log in list(pending.items()):
            end = until[tp] if until is not None else reader.highwater(tp)
            if end is not None and log.next >= end:
                del pending[tp]
        if time.monotonic() - progress_at > REQUEST_TIMEOUT_MS / 1000:
            raise FatalError(ExitCode.BROKER_LOST, f"no answer while reading {sorted(pending)}")
    return True


async def end_offsets(reader: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """End offsets as the broker tells them. Raises KafkaError or TimeoutError when it does not answer within 5 s."""
    async with asyncio.timeout(_ENDS_TIMEOUT_SECONDS):
        ends: dict[TopicPartition, int] = await reader.end_offsets(list(partitions))
        return ends
