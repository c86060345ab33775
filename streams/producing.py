"""Producers of source events: key is the item's bytes, hashed with murmur2 like every Kafka client of the JVM."""

from collections.abc import Sequence

import murmurhash2
from aiokafka import AIOKafkaProducer

from streams.client import Client

_SEED = 0x9747B28C


def home_partition(key: bytes, partitions: int) -> int:
    """The partition, of `partitions`, in which events of an item with these bytes belong."""
    return int(murmurhash2.murmurhash2(key, _SEED) & 0x7FFFFFFF) % partitions


def _partitioner(key: bytes | None, all_partitions: Sequence[int], available: Sequence[int]) -> int:
    del available
    assert key is not None, "an event has a key"
    return all_partitions[home_partition(key, len(all_partitions))]


def producer(client: Client) -> AIOKafkaProducer:
    """A producer of source events; every record is acknowledged by all in-sync replicas. Use with `async with`."""
    return AIOKafkaProducer(
        **client.settings,
        acks="all",
        linger_ms=20,
        max_batch_size=1 << 18,
        max_request_size=1 << 20,
        request_timeout_ms=30_000,
        compression_type="zstd",
        partitioner=_partitioner,
    )
