"""Follows the dead-letter topic: what was rejected lately, from the headers alone.

It joins no group and writes nothing. A broker that is away, a missing topic and a missing right do not end it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.kafka.batches import Record, fetch
from streams.kafka.client import connect
from streams.kafka.topics import TopicsError, partition_counts

_log = logging.getLogger(__name__)

MOST_RECORDS: Final = 2_000
"""Most records of each partition that are read at the start; later ones are all read."""
_FETCH_BYTES: Final = 256 << 10
_WAIT_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.05
"""Pause between two fetches that have records: a flood of dead letters must not keep a process busy."""
_RETRY_SECONDS: Final = 15.0


class DeadLetterHeaders(NamedTuple):
    """What the headers of a dead letter state. All texts are as a writer of the topic sent them."""

    timestamp: int
    """When it was rejected, in milliseconds."""
    origin: str
    """The source topic, or the source of ingest."""
    place: str
    """TOPIC:PARTITION:OFFSET of the event, or the name of the source."""
    reason: str
    detail: str


def read_headers(record: Record) -> DeadLetterHeaders | None:
    """What was rejected; None for a record that is not a dead letter.

    The added headers are last; those before them belong to the event.
    """
    added = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    reason = added.get("alignment-reason")
    topic, source = added.get("alignment-topic"), added.get("alignment-source")
    if reason is None or (topic is None and source is None):
        return None
    if topic is None:
        place = origin = source or ""
    else:
        origin = topic
        place = f"{topic}:{added.get('alignment-partition')}:{added.get('alignment-offset')}"
    return DeadLetterHeaders(record.timestamp, origin, place, reason, added.get("alignment-detail", ""))


@dataclass(slots=True)
class DeadLetterTail:
    """Reads dead letters as they arrive.

    Args:
        client: arguments of a Kafka client.
        topic: the dead-letter topic.
        on_event: called with each.
        since: returns the time in milliseconds from which on dead letters are read at the start.
        consequence: what does not work while they cannot be read, for the log.
    """

    client: Mapping[str, Any]
    topic: str
    on_event: Callable[[DeadLetterHeaders], None]
    since: Callable[[], int]
    consequence: str
    _positions: dict[TopicPartition, int] = field(default_factory=dict)
    _refused: bool = False

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self._follow()
            except (KafkaError, TopicsError, OSError, TimeoutError) as error:
                if not self._refused:
                    self._refused = True
                    _log.warning("cannot read dead letters: %s", self.consequence, extra={"error": repr(error)})
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        counts = await partition_counts(self.client)
        if self.topic not in counts:
            raise TopicsError(f"missing topic: {self.topic}")
        consumer = AIOKafkaConsumer(
            **self.client,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        try:
            await connect(consumer)
            places = [TopicPartition(self.topic, number) for number in range(counts[self.topic])]
            consumer.assign(places)
            for place, offset in (await self._starts(consumer, places)).items():
                consumer.seek(place, offset)
            while True:
                await self._read(consumer, places)
        finally:
            await consumer.stop()

    async def _starts(
        self, consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Where reading starts: where it was, else at the time, but not more than a bounded number before the end."""
        ends = await consumer.end_offsets(list(places))
        try:
            found = await consumer.offsets_for_times(dict.fromkeys(places, self.since()))
            times = {place: ends[place] if at is None else at.offset for place, at in found.items()}
        except KafkaError:
            # The embedded broker does not know times.
            times = {}
        # A position after the end is of a topic that was deleted and created again.
        return {
            place: known
            if (known := self._positions.get(place, end + 1)) <= end
            else max(times.get(place, 0), end - MOST_RECORDS, 0)
            for place, end in ends.items()
        }

    async def _read(self, consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> None:
        for batch in await fetch(consumer, places, _WAIT_SECONDS):
            self._refused = False
            earliest = self.since()
            for record in batch.records:
                event = read_headers(record)
                if event is not None and event.timestamp >= earliest:
                    self.on_event(event)
            self._positions[TopicPartition(batch.topic, batch.partition)] = batch.next
            await asyncio.sleep(_PAUSE_SECONDS)
