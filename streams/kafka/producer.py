"""Producers of source events. The key is the item's bytes, hashed with murmur2 as by Kafka's Java client."""

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import murmurhash2
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics, TopicsError, partition_counts

if TYPE_CHECKING:
    import asyncio

_IN_FLIGHT: Final = 5_000
"""Most records that wait for an acknowledgement."""
_SEED = 0x9747B28C


def home_partition(key: bytes, partitions: int) -> int:
    """Return the partition, of `partitions`, for events of the item with this key.

    >>> home_partition(b"item-1", 8)
    3
    """
    digest: int = murmurhash2.murmurhash2(key, _SEED)
    return (digest & 0x7FFFFFFF) % partitions


def _partitioner(key: bytes | None, all_partitions: Sequence[int], available: Sequence[int]) -> int:
    del available
    assert key is not None, "an event has a key"
    return all_partitions[home_partition(key, len(all_partitions))]


def producer(client: KafkaClient, *, linger_ms: int = 20, idempotent: bool = False) -> AIOKafkaProducer:
    """Make a producer of source events; all in-sync replicas acknowledge each record. Use it with `async with`.

    Args:
        client: how to connect.
        linger_ms: time that a record waits for others of its partition, in milliseconds.
        idempotent: whether a retry writes no record again. An idempotent producer retries without end.
    """
    return AIOKafkaProducer(
        **client.settings,
        acks="all",
        enable_idempotence=idempotent,
        linger_ms=linger_ms,
        max_batch_size=1 << 18,
        max_request_size=1 << 20,
        request_timeout_ms=30_000,
        compression_type="zstd",
        partitioner=_partitioner,
    )


class Outgoing(NamedTuple):
    """A record to send."""

    topic: str
    value: bytes | None
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int | None = None
    """None: the home partition of the key."""


async def send_all(client: KafkaClient, records: AsyncIterable[Outgoing]) -> AsyncIterator[RecordMetadata]:
    """Send records, and yield their acknowledgements in the same order; at most 5,000 are in flight."""
    async with producer(client) as out:
        in_flight: deque[asyncio.Future[RecordMetadata]] = deque()
        async for topic, value, key, headers, partition in records:
            in_flight.append(await out.send(topic, value, key=key, headers=list(headers), partition=partition))
            if len(in_flight) >= _IN_FLIGHT:
                yield await in_flight.popleft()
        while in_flight:
            yield await in_flight.popleft()


async def require_sources(client: KafkaClient, topics: Topics) -> dict[str, int]:
    """Return the number of partitions of each source topic. Raises TopicsError when a topic is missing."""
    counts = await partition_counts(client.settings)
    if missing := [topic for topic in topics.sources if topic not in counts]:
        raise TopicsError(f"missing topics: {', '.join(missing)}; run `eval-alignment topics apply`")
    return {topic: counts[topic] for topic in topics.sources}


async def source_partitions(client: KafkaClient, topics: Topics) -> list[TopicPartition]:
    """All partitions of the source topics. Raises TopicsError when a topic is missing."""
    counts = await require_sources(client, topics)
    return [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
