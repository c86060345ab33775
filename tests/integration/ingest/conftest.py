"""A publisher on topics of its own on a real Apache Kafka."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import fields

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from ingest.config import IngestConfig
from ingest.publish import Publisher
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics, apply
from tests.support.kafka import Kafka
from tests.support.waiting import eventually


@pytest.fixture
def topics(prefix: str) -> Topics:
    return Topics(**{each.name: f"{prefix}{each.name}" for each in fields(Topics)})


@pytest.fixture
async def admin(kafka: Kafka, topics: Topics) -> AsyncIterator[AIOKafkaAdminClient]:
    await apply({"bootstrap_servers": kafka.bootstrap}, topics, 1, 1)
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def publisher(kafka: Kafka, topics: Topics, admin: AIOKafkaAdminClient) -> AsyncIterator[Publisher]:
    """A connected publisher, whose topics exist."""
    del admin
    running = Publisher(IngestConfig(kafka=KafkaClient([kafka.bootstrap]), topics=topics))
    task = asyncio.create_task(running.run())
    await eventually(lambda: running.away is None)
    yield running
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
