"""Whether a worker accepts a record of a source partition: the events decide, and where the record is."""

from collections.abc import Callable, Sequence

from aggregator.facts import Fact
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.reasons import Reason
from streams.kafka.batches import Record, UnreadableRecords
from streams.kafka.producer import home_partition
from streams.runtime.chunks import ASKED


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
    (decision,) = decide_all(decoder, kind, [record], partition=partition, partitions=partitions, has_item=has_item)
    return decision


def decide_all(
    decoder: Decoder,
    kind: Kind,
    records: Sequence[Record],
    *,
    partition: int,
    partitions: int,
    has_item: Callable[[str], bool],
    ends_before: Callable[[int], bool] | None = None,
) -> list[Fact | Rejection]:
    """`decide` for many records of one partition, or for the first of them: see `Chunks.ends_before`."""
    decode = decoder.decode
    # The events of an item come near each other.
    at_home: set[bytes] = set()
    decisions: list[Fact | Rejection] = []
    for index, record in enumerate(records):
        if not index & ASKED and ends_before is not None and ends_before(index):
            break
        key = record.key
        decision = decode(kind, record.value, key, record.headers, record.timestamp)
        if type(decision) is Rejection:
            if isinstance(record, UnreadableRecords):
                decision = Rejection(record.reason, record.detail)
        elif not has_item(decision.item) and key not in at_home:
            assert key is not None, "an accepted event has a key: the item's bytes"
            home = home_partition(key, partitions)
            if home == partition:
                at_home.add(key)
            else:
                decision = Rejection(
                    Reason.MISROUTED,
                    f"in partition {partition}, but murmur2 of the key is partition {home}: use Kafka's default "
                    "partitioner (librdkafka: partitioner=murmur2_random)",
                )
        decisions.append(decision)
    return decisions
