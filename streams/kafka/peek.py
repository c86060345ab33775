"""What workers would reject of the events that wait in the source topics, such as those that the circuit breaker holds.

Reads from the committed offsets on, without becoming a member of the group, and writes nothing.
"""

from collections import Counter
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, cast

from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.example import RejectedExample, example
from streams.kafka.acknowledgements import committed_offsets
from streams.kafka.client import KafkaClient
from streams.kafka.decide import decide
from streams.kafka.producer import require_sources
from streams.kafka.scan import Records, scan
from streams.kafka.topics import Topics

if TYPE_CHECKING:
    from streams.kafka.batches import Record


@dataclass(slots=True)
class Peeked:
    """The events that wait, and those of them that would be rejected."""

    waiting: int = 0
    """Number of events that are not processed."""
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of those that would be rejected, by topic and reason."""
    first: list[RejectedExample] = field(default_factory=list)
    """The first of them, by topic, partition and offset."""


async def peek(client: KafkaClient, topics: Topics, group: str, decoder: Decoder, limit: int) -> Peeked:
    """Decode the events that the group has not processed, as a worker does.

    It cannot know which items a worker has already, and reads records of transactions that are open or aborted too.

    Args:
        client: connects to the broker.
        topics: names of the topics.
        group: the group of the workers.
        decoder: decides on each event.
        limit: most examples to return.

    Raises TopicsError, KafkaError, TimeoutError.
    """
    counts = await require_sources(client, topics)
    peeked = Peeked()
    for topic, kind in topics.sources.items():
        committed = await committed_offsets(client, group, topic, counts[topic])
        reader = _WaitingRecords(topic, kind, decoder, counts[topic], limit - len(peeked.first), peeked)
        await scan(client, topic, reader, since=committed)
        peeked.first += [shown for _, shown in sorted(reader.first, key=itemgetter(0))][: reader.limit]
    return peeked


@dataclass(slots=True)
class _WaitingRecords:
    topic: str
    kind: Kind
    decoder: Decoder
    partitions: int
    limit: int
    peeked: Peeked
    first: list[tuple[tuple[int, int], RejectedExample]] = field(default_factory=list)
    """With partition and offset."""
    kept: Counter[int] = field(default_factory=Counter)
    """Number of them by partition."""

    def __call__(self, partition: int, records: Records) -> None:
        self.peeked.waiting += len(records)
        for record in records:
            # It has the parts that a decision needs.
            decision = decide(
                self.decoder,
                self.kind,
                cast("Record", record),
                partition=partition,
                partitions=self.partitions,
            )
            if type(decision) is not Rejection:
                continue
            self.peeked.rejected[self.topic, decision.reason.value] += 1
            # Partitions arrive in any order: each has as many as all together may have.
            self.kept[partition] += 1
            if self.kept[partition] <= self.limit:
                place = f"{self.topic}:{partition}:{record.offset}"
                self.first.append(((partition, record.offset), example(place, decision, record.value)))
