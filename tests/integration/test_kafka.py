"""The test broker is a real one: data survives kill -9 and stop, and no process outlives its owner."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from eval_alignment.local.broker import BrokerError
from tests.support import kafka as apache
from tests.support.kafka import Kafka
from tests.support.processes import wait_until
from tests.support.requirements import Requirements

pytestmark = pytest.mark.slow


async def create(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, compression_type="zstd")
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(30):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_data_survives_kill_and_stop(own_kafka: Kafka) -> None:
    await create(own_kafka.bootstrap, "kept")
    await produce(own_kafka.bootstrap, "kept", b"one")
    await asyncio.to_thread(own_kafka.kill)
    assert own_kafka.pid is None
    await asyncio.to_thread(own_kafka.start)
    await produce(own_kafka.bootstrap, "kept", b"two")
    await asyncio.to_thread(own_kafka.stop)
    await asyncio.to_thread(own_kafka.start)
    assert await consume(own_kafka.bootstrap, "kept", 2) == [b"one", b"two"]


async def test_producing_never_creates_a_topic(kafka: Kafka, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics([f"{prefix}absent"])
        assert described[0]["error_code"] == 3
        assert f"{prefix}absent" not in await admin.list_topics()
    finally:
        await admin.close()


def test_a_taken_port_is_refused(kafka: Kafka) -> None:
    second = Kafka(port=kafka.port)
    try:
        with pytest.raises(BrokerError, match=f"cannot listen on 127.0.0.1:{kafka.port}"):
            second.start()
    finally:
        second.close()


def test_a_broker_that_cannot_start_reports_why_and_ends(requirements: Requirements) -> None:
    requirements.provide("kafka", apache.missing())
    broken = Kafka(properties={"log.cleaner.threads": "none"})
    try:
        with pytest.raises(BrokerError, match=r"log\.cleaner\.threads"):
            broken.start()
        assert broken.pid is None
    finally:
        broken.close()


OWNER = """
import pathlib, sys, time
from tests.support.kafka import Kafka
broker = Kafka(directory=pathlib.Path(sys.argv[1]))
broker.start()
print(broker.pid, flush=True)
time.sleep(600)
"""


def test_no_broker_outlives_a_killed_owner(requirements: Requirements, tmp_path: Path) -> None:
    requirements.provide("kafka", apache.missing())
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert alive(pid)
        os.kill(owner.pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 30, "the broker has ended")


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")
