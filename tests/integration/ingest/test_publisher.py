"""The publisher after the broker refused a record, and after a topic was deleted."""

import asyncio
import random

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ingest.publish import Publisher, TooLargeForBrokerError
from streams.kafka.producer import Outgoing
from streams.kafka.topics import Topics, apply
from tests.support.kafka import Kafka
from tests.support.waiting import eventually


async def test_a_record_that_the_broker_refuses_does_not_stop_those_that_follow(
    publisher: Publisher, topics: Topics, admin: AIOKafkaAdminClient
) -> None:
    small = Outgoing(topics.annotations, b"{}", b"i1")
    large = small._replace(value=random.Random(0).randbytes(20_000))
    limit = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "10000"}
    await publisher.publish([small])
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topics.annotations, configs=limit)])

    async def publish_until_the_limit_holds() -> None:
        """The broker has a new limit some time after it answered."""
        while True:
            await publisher.publish([small, large])

    with pytest.raises(TooLargeForBrokerError):
        await asyncio.wait_for(publish_until_the_limit_holds(), 30)
    # Others only wait for the next producer.
    assert publisher.away is None
    await asyncio.gather(*(publisher.publish([small]) for _ in range(3)))


async def test_it_is_away_once_a_topic_is_deleted_until_it_exists_again(
    publisher: Publisher, topics: Topics, admin: AIOKafkaAdminClient, kafka: Kafka
) -> None:
    record = Outgoing(topics.annotations, b"{}", b"i1")
    await publisher.publish([record])
    await admin.delete_topics([topics.annotations])
    await eventually(lambda: publisher.away is not None)
    await apply({"bootstrap_servers": kafka.bootstrap}, topics, 1, 1)
    await eventually(lambda: publisher.away is None)
    await publisher.publish([record])
