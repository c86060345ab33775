"""Snapshot documents on a real broker."""

import asyncio
import secrets
import time
from datetime import date

import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from aggregator.snapshot.inputs import CountingRules
from eval_alignment.local.broker import EmbeddedBroker
from sinks.documents import Documents
from sinks.snapshots import CLOSE_SECONDS, KafkaTopic
from sinks.store.store import Store
from tests.support.kafka import Kafka
from tests.support.ports import free_port
from tests.support.sample_view import FACTS, fill


async def test_snapshot_documents_arrive_in_the_topic(kafka: Kafka, prefix: str, store: Store) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(f"{prefix}snapshots", 1, 1, topic_configs={"cleanup.policy": "compact"})])
    await admin.close()
    fill(store, FACTS)
    document = Documents(store, CountingRules(), lambda: date(2026, 11, 24)).get("support")
    assert document is not None
    topic = KafkaTopic(f"{prefix}snapshots", {"bootstrap_servers": kafka.bootstrap})
    await topic.publish([document])
    await topic.close()
    async with AIOKafkaConsumer(
        f"{prefix}snapshots", bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        record = await asyncio.wait_for(consumer.getone(), 20)
    assert record.key == b"support"
    assert record.value == orjson.dumps(document)


async def test_a_topic_refuses_the_documents_that_do_not_fit_and_takes_every_other(
    kafka: Kafka, prefix: str, store: Store
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    configs = {"cleanup.policy": "compact", "max.message.bytes": "3000"}
    await admin.create_topics([NewTopic(f"{prefix}snapshots", 1, 1, topic_configs=configs)])
    await admin.close()
    fill(store, FACTS)
    document = Documents(store, CountingRules(), lambda: date(2026, 11, 24)).get("support")
    assert document is not None
    documents = [{**document, "queue": f"q{number}"} for number in range(20)]
    # Incompressible, so it does not fit; without compression none would.
    documents[7]["ledger"] = secrets.token_hex(4_000)
    assert min(len(orjson.dumps(each)) for each in documents) > 3_000
    topic = KafkaTopic(f"{prefix}snapshots", {"bootstrap_servers": kafka.bootstrap})
    refusals = await topic.publish(documents)  # type: ignore[arg-type]
    await topic.close()
    assert refusals.keys() == {"q7"}
    assert refusals["q7"].too_large
    assert refusals["q7"].size > 8_000
    async with AIOKafkaConsumer(
        f"{prefix}snapshots", bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        keys = {(await asyncio.wait_for(consumer.getone(), 20)).key for _ in range(19)}
    assert keys == {f"q{number}".encode() for number in range(20) if number != 7}


async def test_closing_the_topic_does_not_wait_for_an_unreachable_broker(store: Store) -> None:
    fill(store, FACTS)
    document = Documents(store, CountingRules(), lambda: date(2026, 11, 24)).get("support")
    assert document is not None
    broker = EmbeddedBroker(free_port())
    await asyncio.to_thread(broker.start)
    try:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("snapshots", 1, 1)])
        await admin.close()
        topic = KafkaTopic("snapshots", {"bootstrap_servers": broker.bootstrap})
        await topic.publish([document])
    finally:
        await asyncio.to_thread(broker.kill)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(topic.publish([document]), 0.5)
    began = time.monotonic()
    await topic.close()
    assert time.monotonic() - began < CLOSE_SECONDS + 2
