"""Owner indexes made again from a real Kafka: from the ledger and from the events that are not on it yet."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from aggregator import facts
from aggregator.facts import Annotation, Fact
from ingest.publish import Publisher
from ingest.rebuild import SourceTopics, is_left
from ingest.sources import KafkaDelivery
from sources.intake.intake import Delivery, SourceIntake
from sources.intake.store import FILE, IndexStore
from streams.events.decoder import Decoder
from streams.events.encoder import encode_event
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics
from tests.support.kafka import Kafka
from tests.support.sources import RECEIVED, tool_source

RULES: dict[str, Any] = {"queue": "q", "item": "task", "criteria": {"tone": {"rating": "stars"}}}
GROUP = "workers"
AT = 1_789_999_200_000


def annotation(native: int, item: str = "i") -> bytes:
    """A webhook of Label Studio."""
    answer = {"type": "rating", "from_name": "tone", "value": {"rating": 4}}
    updated = "2026-09-21T14:00:00.000000Z"
    record = {"id": native, "task": native, "project": 7, "updated_at": updated, "result": [answer], "completed_by": 3}
    task = {"id": native, "data": {"task": f"{item}-{native}"}, "project": 7}
    return json.dumps({"action": "ANNOTATION_CREATED", "annotation": record, "task": task}).encode()


def deletion(*natives: int) -> bytes:
    return json.dumps({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": native} for native in natives]}).encode()


def stated(native: int, id: str | None = None) -> Fact:
    """What such an annotation becomes."""
    id = id or f"labelstudio:{native}/tone@{AT}"
    return Annotation(AT, id, "q", f"i-{native}", criterion="tone", annotator="3", stars=4)


class Setting:
    """A source on topics of its own."""

    def __init__(self, kafka: Kafka, topics: Topics, publisher: Publisher, directory: Path) -> None:
        self.topics = topics
        self.directory = directory
        self._publisher = publisher
        self._bootstrap = kafka.bootstrap
        self.where = SourceTopics(
            KafkaClient([kafka.bootstrap]),
            topics,
            f"{topics.facts}-{GROUP}",
            Decoder(),
            ["labelstudio", "labelstudio:b"],
        )
        self.open()

    def open(self) -> None:
        self.store = IndexStore(self.directory)
        source = tool_source("labelstudio", **RULES)
        self.index = self.store.index("labelstudio")
        self.intake = SourceIntake(source, KafkaDelivery("labels", self._publisher, self.topics), self.index)

    def lose_index(self) -> None:
        self.store.close()
        for path in self.directory.glob(f"{FILE}*"):
            path.unlink()
        self.open()

    async def take(self, content: bytes) -> int:
        return (await self.intake.take(content, RECEIVED)).events

    async def write(self, topic: str, *records: tuple[bytes, bytes]) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap) as out:
            for key, value in records:
                await out.send_and_wait(topic, value, key=key, partition=0)


@pytest.fixture
async def setting(kafka: Kafka, topics: Topics, publisher: Publisher, tmp_path: Path) -> AsyncIterator[Setting]:
    made = Setting(kafka, topics, publisher, tmp_path)
    yield made
    made.store.close()


async def test_a_lost_index_is_made_from_the_ledger_and_from_what_follows_it(
    setting: Setting, kafka: Kafka, topics: Topics
) -> None:
    for native in (1, 2, 3):
        await setting.take(annotation(native))
    # The workers have written the first two.
    ledger = [(facts.key(fact), facts.encode(fact)) for fact in (stated(1), stated(2))]
    await setting.write(topics.facts, (b'["claim"]', b"{}"), (b"no key", b'"labelstudio:'), *ledger)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=setting.where.group, enable_auto_commit=False
    )
    async with consumer:
        consumer.assign([TopicPartition(topics.annotations, 0)])
        await consumer.commit({TopicPartition(topics.annotations, 0): 2})
    setting.lose_index()
    assert await setting.take(deletion(1)) == 0, "an empty index knows nothing"
    setting.lose_index()
    assert await setting.where.catch_up([setting.intake]) == 5
    assert {*setting.index.natives()} == {"1", "2", "3"}
    assert await setting.take(deletion(1, 3)) == 2
    assert await setting.take(annotation(2)) == 0


async def test_the_next_start_reads_only_what_was_sent_since(setting: Setting, topics: Topics) -> None:
    assert await setting.where.catch_up([setting.intake]) == 0
    await setting.take(annotation(1))
    setting.index.advance(await setting.where.ends())
    await setting.take(annotation(2))
    foreign = stated(9, "labelstudio:b:9/tone@5")
    await setting.write(topics.annotations, (b"i-9", encode_event(foreign)), (b"i", b"not labelstudio: JSON"))
    assert await setting.where.catch_up([setting.intake]) == 3
    assert {*setting.index.natives()} == {"1", "2"}, "the longest prefix decides"
    assert await setting.where.catch_up([setting.intake]) == 0


async def test_events_that_arrived_without_an_acknowledgement_are_known(setting: Setting) -> None:
    await setting.where.catch_up([setting.intake])
    # As if the process was killed, and an old copy of its index has no outbox.
    await KafkaDelivery("labels", setting._publisher, setting.topics)(Delivery([stated(1)], ()))
    await setting.where.catch_up([setting.intake])
    assert await setting.take(deletion(1)) == 1


async def test_an_index_of_which_events_are_not_left_reads_the_ledger(
    setting: Setting, topics: Topics, admin: AIOKafkaAdminClient
) -> None:
    await setting.where.catch_up([setting.intake])
    await setting.write(topics.facts, (facts.key(stated(1)), facts.encode(stated(1))))
    await setting.write(topics.annotations, (b"i-1", encode_event(stated(1))))
    await admin.delete_records({TopicPartition(topics.annotations, 0): RecordsToDelete(before_offset=1)})
    await setting.where.catch_up([setting.intake])
    assert {*setting.index.natives()} == {"1"}


@pytest.mark.parametrize(
    ("positions", "left"),
    [
        (None, False),
        ({}, False),
        ({"t": {0: 4}}, False),
        ({"t": {0: 5}}, True),
        ({"t": {0: 9}}, True),
        ({"t": {0: 10}}, False),
    ],
)
def test_events_after_positions_are_left(positions: Any, left: bool) -> None:
    place = TopicPartition("t", 0)
    assert is_left(positions, {place: 5}, {place: 9}) is left
