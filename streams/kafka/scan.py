"""Reading a topic to its end, once and without a group: for commands, which look and go.

The end is what the fetches tell. The embedded broker's own list of end offsets is too low by all but one record of the
last batch, but a batch is fetched whole, so a position that reached the end it tells is behind that batch.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from streams.kafka.client import KafkaClient, connect
from streams.kafka.topics import TopicsError, partition_counts

Records = Sequence[ConsumerRecord[bytes | None, bytes | None]]

_POLL_MS: Final = 200
_FETCH_WAIT_MS: Final = 50
_QUIET_SECONDS: Final = 30.0


async def scan(
    client: KafkaClient,
    topic: str,
    fold: Callable[[int, Records], None],
    *,
    last: int | None = None,
    partitions: Collection[int] | None = None,
) -> dict[int, int]:
    """Give `fold` all records of a topic, a partition's part at a time, and return the end offset of each partition.

    With `last`, reading starts at about that many offsets before the end of each partition; with `partitions`, only
    these are read. Raises TopicsError when the topic is missing, TimeoutError when nothing is read for 30 s,
    KafkaError.
    """
    counts = await partition_counts(client.settings)
    if topic not in counts:
        raise TopicsError(f"missing: {topic}; run `topics apply`")
    consumer = AIOKafkaConsumer(
        **client.settings,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_FETCH_WAIT_MS,
    )
    try:
        await connect(consumer)
        chosen = range(counts[topic]) if partitions is None else partitions
        pending = {TopicPartition(topic, number) for number in chosen}
        consumer.assign(list(pending))
        if last is not None:
            for tp, end in (await consumer.end_offsets(list(pending))).items():
                consumer.seek(tp, max(0, end - last))
        ends: dict[int, int] = {}
        moved_at = time.monotonic()
        while pending:
            batches = await consumer.getmany(*pending, timeout_ms=_POLL_MS)
            for tp, records in batches.items():
                fold(tp.partition, records)
            reached = await _reached(consumer, pending)
            ends |= {tp.partition: end for tp, end in reached.items()}
            pending -= reached.keys()
            if batches or reached:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > _QUIET_SECONDS:
                raise TimeoutError(f"no answer while reading {topic}")
        return ends
    finally:
        await consumer.stop()


async def _reached(consumer: AIOKafkaConsumer, pending: set[TopicPartition]) -> dict[TopicPartition, int]:
    """Partitions that are read to the end, with their positions."""
    reached = {}
    for tp in pending:
        # Known once a fetch was answered; the position is too then.
        end = consumer.highwater(tp)
        if end is not None and (position := await consumer.position(tp)) >= end:
            reached[tp] = position
    return reached
