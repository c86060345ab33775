"""Whether a worker accepts a record of a source partition: the events decide, and where the record is."""

from collections.abc import Callable

from aggregator.facts import Fact
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.reasons import Reason
from streams.kafka.batches import Record, UnreadableRecords
from streams.kafka.producer import home_partition


def decide(
    decoder: Decoder,
    kind: Kind,
    record: Record,
    *,
    partition: int,
    partitions: int,
    has_item: Callable[[str], bool] = lambda _: False,
) -> Fact | Rejection:
    """Return the event of this record of a source partition if a worker accepts it, else why it rejects it.

    Args:
        decoder: decides on the event.
        kind: of the events of the topic.
        record: the record.
        partition: its partition.
        partitions: P, the number of partitions.
        has_item: whether an item is in the shard of this partition, where its events are accepted.
    """
    return decider(decoder, kind, partition=partition, partitions=partitions, has_item=has_item)(record)


def decider(
    decoder: Decoder, kind: Kind, *, partition: int, partitions: int, has_item: Callable[[str], bool]
) -> Callable[[Record], Fact | Rejection]:
    """`decide` for many records of one partition."""
    decode = decoder.decode

    def decide_record(record: Record) -> Fact | Rejection:
        key = record.key
        fact = decode(kind, record.value, key, record.headers, record.timestamp)
        if type(fact) is Rejection:
            return Rejection(record.reason, record.detail) if isinstance(record, UnreadableRecords) else fact
        assert key is not None, "an accepted event has a key: the item's bytes"
        if has_item(fact.item) or home_partition(key, partitions) == partition:
            return fact
        return Rejection(
            Reason.MISROUTED,
            f"in partition {partition}, but murmur2 of the key is partition {home_partition(key, partitions)}: use "
            "Kafka's default partitioner (librdkafka: partitioner=murmur2_random)",
        )

    return decide_record
