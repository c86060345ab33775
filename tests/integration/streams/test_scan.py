"""Reading to the end: every record once, on Apache Kafka and on the embedded broker, whose end offsets are too low."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from eval_alignment.local.broker import EmbeddedBroker
from streams.kafka.batches import UnreadableRecords
from streams.kafka.client import KafkaClient
from streams.kafka.scan import Records, scan
from streams.kafka.topics import TopicsError
from tests.fuzz.batches import RawBatch, RawRecord, bomb
from tests.support.kafka import Kafka
from tests.support.ports import free_port
from tests.support.raw_batches import RawSender


@pytest.fixture(params=["kafka", "embedded"])
def client(request: pytest.FixtureRequest) -> Iterator[KafkaClient]:
    if request.param == "kafka":
        kafka: Kafka = request.getfixturevalue("kafka")
        yield KafkaClient([kafka.bootstrap])
    else:
        with EmbeddedBroker(free_port()) as broker:
            yield KafkaClient([broker.bootstrap])


async def create(client: KafkaClient, topic: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(**client.settings)
    try:
        await admin.start()
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()


async def ended(client: KafkaClient, topic: str, end: int) -> None:
    """Wait until partition 0 ends there: a commit is acknowledged before its marker is written."""
    tp = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(**client.settings) as consumer:
        while True:
            ends = await consumer.end_offsets([tp])
            if ends[tp] >= end:
                return
            await asyncio.sleep(0.05)


async def write(client: KafkaClient, topic: str, partition: int, batches: list[int], width: int = 1) -> None:
    """Write numbered records, at least `width` bytes each, in batches of these sizes."""
    producer = AIOKafkaProducer(**client.settings, max_batch_size=1 << 20, max_request_size=1 << 20)
    await producer.start()
    try:
        numbers = itertools.count()
        for size in batches:
            batch = producer.create_batch()
            for number in itertools.islice(numbers, size):
                batch.append(key=b"k", value=(b"%d" % number).rjust(width), timestamp=None)
            await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()


class Seen:
    """Collects the values of each partition in order."""

    def __init__(self) -> None:
        self.values: dict[int, list[int]] = {}

    def __call__(self, partition: int, records: Records) -> None:
        self.values.setdefault(partition, []).extend(int(record.value or b"") for record in records)


async def test_every_record_of_every_partition_is_read_once(client: KafkaClient, prefix: str) -> None:
    topic = f"{prefix}log"
    await create(client, topic, 3)
    await write(client, topic, 0, [1])
    await write(client, topic, 2, [100, 1000, 500])
    seen = Seen()
    assert await scan(client, topic, seen) == {0: 1, 1: 0, 2: 1600}
    assert seen.values == {0: [0], 2: list(range(1600))}


async def test_a_log_of_many_fetches_is_read_to_its_last_record(client: KafkaClient, prefix: str) -> None:
    topic = f"{prefix}log"
    await create(client, topic, 1)
    await write(client, topic, 0, [1] * 6, width=900_000)
    seen = Seen()
    assert await scan(client, topic, seen) == {0: 6}
    assert seen.values == {0: [0, 1, 2, 3, 4, 5]}


async def test_a_scan_of_the_last_records_skips_the_others(client: KafkaClient, prefix: str) -> None:
    topic = f"{prefix}log"
    await create(client, topic, 2)
    await write(client, topic, 1, [500, 500])
    seen = Seen()
    assert await scan(client, topic, seen, last=10) == {0: 0, 1: 1000}
    (read,) = seen.values.values()
    # The end offset of the embedded broker may be up to one batch too low.
    assert read == list(range(read[0], 1000))
    assert 990 >= read[0] >= 490


async def test_a_missing_topic_is_named(client: KafkaClient, prefix: str) -> None:
    with pytest.raises(TopicsError, match=f"{prefix}none"):
        await scan(client, f"{prefix}none", Seen())


async def test_markers_of_transactions_at_the_end_are_no_records(kafka: Kafka, prefix: str) -> None:
    client, topic = KafkaClient([kafka.bootstrap]), f"{prefix}log"
    await create(client, topic, 1)
    producer = AIOKafkaProducer(**client.settings, transactional_id=f"{prefix}writer")
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send(topic, b"7", partition=0)
    finally:
        await producer.stop()
    seen = Seen()
    async with asyncio.timeout(20):
        await ended(client, topic, 2)
        assert await scan(client, topic, seen) == {0: 2}
    assert Counter(seen.values[0]) == {7: 1}


async def test_records_that_cannot_be_read_are_one_without_key_and_value_and_a_warning(
    client: KafkaClient, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    topic = f"{prefix}log"
    await create(client, topic, 1)
    odd = RawRecord(b"k", b"1", [(b"\xff", b"\xfe")])
    async with RawSender(client.brokers[0]) as sender:
        await sender.send(topic, 0, RawBatch([odd]))
        await sender.send(topic, 0, bomb(4, 65 << 20))
        await sender.send(topic, 0, RawBatch([replace(odd, value=b"2")], codec=1))
    records: list[Any] = []
    assert await scan(client, topic, lambda _, read: records.extend(read)) == {0: 3}
    assert [(record.partition, record.offset, record.key, record.value) for record in records] == [
        (0, 0, b"k", b"1"),
        (0, 1, None, None),
        (0, 2, b"k", b"2"),
    ]
    assert isinstance(records[1], UnreadableRecords)
    assert f"{topic}[0] at 1: a record batch of 1 record unpacks to more than 64 MiB" in caplog.text
