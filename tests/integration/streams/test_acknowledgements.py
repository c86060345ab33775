"""Acknowledged dead letters on both kinds of broker."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from eval_alignment.local.broker import EmbeddedBroker
from streams.kafka.acknowledgements import Acknowledgement, read_acknowledgements, write_acknowledgements
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics, apply
from tests.support.kafka import Kafka, missing
from tests.support.ports import free_port
from tests.support.requirements import Requirements

GROUP = "eval-alignment-dead-letters"
TOPIC = Topics().dead_letters


async def test_the_embedded_broker_keeps_the_offset_and_no_timestamp() -> None:
    with EmbeddedBroker(free_port()) as broker:
        client = KafkaClient([broker.bootstrap])
        await apply(client.settings, Topics(), 1)
        assert await read_acknowledgements(client, GROUP, TOPIC, 1) == {}
        await write_acknowledgements(client, GROUP, TOPIC, {0: Acknowledgement(5, 77)})
        assert await read_acknowledgements(client, GROUP, TOPIC, 1) == {0: Acknowledgement(5, None)}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_apache_kafka_keeps_an_acknowledgement_longer_than_other_commits(requirements: Requirements) -> None:
    """By default it deletes the commits of a group without members after a week, here after a minute."""
    requirements.provide("kafka", missing())
    kafka = Kafka(properties={"offsets.retention.minutes": "1", "offsets.retention.check.interval.ms": "1000"})
    try:
        await asyncio.to_thread(kafka.start)
        client = KafkaClient([kafka.bootstrap])
        await apply(client.settings, Topics(), 1, 1)
        # The coordinator of a broker that never had a group starts first.
        assert await read_acknowledgements(client, GROUP, TOPIC, 1) == {}
        await write_acknowledgements(client, GROUP, TOPIC, {0: Acknowledgement(0, 77)})
        async with AIOKafkaConsumer(**client.settings, group_id="other", enable_auto_commit=False) as consumer:
            consumer.assign([TopicPartition(TOPIC, 0)])
            await consumer.commit({TopicPartition(TOPIC, 0): 0})
        async with asyncio.timeout(200):
            while await read_acknowledgements(client, "other", TOPIC, 1):  # noqa: ASYNC110 -- the broker's state
                await asyncio.sleep(0.5)
        assert await read_acknowledgements(client, GROUP, TOPIC, 1) == {0: Acknowledgement(0, 77)}
    finally:
        await asyncio.to_thread(kafka.close)
