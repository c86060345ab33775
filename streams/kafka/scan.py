"""Read a topic to its end, once and without a group: for commands.

The end is the one that fetches report. For the embedded broker it is too low: of the last batch it counts only one
record. A batch is fetched as a whole, so a position that has reached the reported end is also past that batch.

Records that cannot be read are one record without key and value, which is an `UnreadableRecords` too, and a warning in
the log.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from streams.kafka.batches import Batch, Record, UnreadableRecords, fetch
from streams.kafka.client import KafkaClient, connect
from streams.kafka.topics import TopicsError, partition_counts

_log = logging.getLogger(__name__)

Records = Sequence[ConsumerRecord[bytes | None, bytes | None]]

_POLL_SECONDS: Final = 0.2
_FETCH_WAIT_MS: Final = 50
_QUIET_SECONDS: Final = 30.0


async def bounds(
    client: KafkaClient, places: Collection[TopicPartition]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """The oldest offset that is left, and the end, of each partition. Raises KafkaError."""
    consumer = AIOKafkaConsumer(**client.settings, enable_auto_commit=False)
    try:
        await connect(consumer)
        return await consumer.beginning_offsets(list(places)), await consumer.end_offsets(list(places))
    finally:
        await consumer.stop()


async def scan(
    client: KafkaClient,
    topic: str,
    on_records: Callable[[int, Records], None],
    *,
    last: int | None = None,
    partitions: Collection[int] | None = None,
    since: Mapping[int, int] | None = None,
    committed_only: bool = False,
) -> dict[int, int]:
    """Read all records of a topic, and return the end offset of each partition.

    Args:
        client: connects to the broker.
        topic: the topic.
        on_records: called with a partition and its next records.
        last: start about that many offsets before the end of each partition; None reads from the start.
        partitions: read only these; None reads all.
        since: offset by partition at which to start; where it is not left any more, the oldest one is taken.
        committed_only: leave out records of aborted transactions, and end where the first open one starts.

    Raises TopicsError if the topic is missing, TimeoutError if nothing can be read for 30 s, CorruptPartitionError,
    KafkaError.
    """
    counts = await partition_counts(client.settings)
    if topic not in counts:
        raise TopicsError(f"missing topic: {topic}; run `eval-alignment topics apply`")
    consumer = AIOKafkaConsumer(
        **client.settings,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        isolation_level="read_committed" if committed_only else "read_uncommitted",
    )
    try:
        await connect(consumer)
        chosen = range(counts[topic]) if partitions is None else partitions
        pending = {TopicPartition(topic, number) for number in chosen}
        consumer.assign(list(pending))
        if last is not None:
            for tp, end in (await consumer.end_offsets(list(pending))).items():
                consumer.seek(tp, max(0, end - last))
        for tp in pending:
            if since is not None and tp.partition in since:
                consumer.seek(tp, since[tp.partition])
        ends: dict[int, int] = {}
        progress_at = time.monotonic()
        while pending:
            batches = await fetch(consumer, pending, _POLL_SECONDS)
            for batch in batches:
                on_records(batch.partition, [_placed(batch, record) for record in batch.records])
            reached = await _reached(consumer, pending, committed_only=committed_only)
            ends |= {tp.partition: end for tp, end in reached.items()}
            pending -= reached.keys()
            if batches or reached:
                progress_at = time.monotonic()
            elif time.monotonic() - progress_at > _QUIET_SECONDS:
                raise TimeoutError(f"the broker did not answer for {_QUIET_SECONDS:g} s while {topic} was read")
        return ends
    finally:
        await consumer.stop()


@dataclass(slots=True)
class _PlacedUnreadable(UnreadableRecords):
    """Records that cannot be read, in the place of a record of aiokafka's."""

    topic: str = ""
    partition: int = -1


def _placed(batch: Batch, record: Record) -> ConsumerRecord[bytes | None, bytes | None]:
    """The record with the place where it is."""
    if isinstance(record, UnreadableRecords):
        _log.warning("%s[%d] at %d: %s", batch.topic, batch.partition, record.offset, record.detail)
        unreadable: object = _PlacedUnreadable(
            record.offset,
            record.timestamp,
            record.count,
            record.reason,
            record.detail,
            topic=batch.topic,
            partition=batch.partition,
        )
        return cast("ConsumerRecord[bytes | None, bytes | None]", unreadable)
    key, value = record.key, record.value
    return ConsumerRecord(
        batch.topic,
        batch.partition,
        record.offset,
        record.timestamp,
        0,
        key,
        value,
        None,
        -1 if key is None else len(key),
        -1 if value is None else len(value),
        cast("tuple[tuple[str, bytes], ...]", tuple(record.headers)),
    )


async def _reached(
    consumer: AIOKafkaConsumer, pending: set[TopicPartition], *, committed_only: bool
) -> dict[TopicPartition, int]:
    """Positions of the partitions that are read to the end."""
    reached = {}
    for tp in pending:
        # The first response to a fetch makes both the end and the position known.
        end = consumer.last_stable_offset(tp) if committed_only else consumer.highwater(tp)
        if end is not None and (position := await consumer.position(tp)) >= end:
            reached[tp] = position
    return reached
