"""Retries and pauses of every client of the broker."""

import asyncio
import inspect
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, LeaderNotAvailableError

from streams.kafka import client
from streams.kafka.client import RETRY_MS, KafkaClient, connect
from tests.support.lame_brokers import leaderless_broker, starting_broker


@pytest.mark.row(7)
def test_clients_that_lost_a_broker_reconnect_at_different_times() -> None:
    settings = [KafkaClient(["127.0.0.1:9"]).settings for _ in range(100)]
    pauses = {each["retry_backoff_ms"] for each in settings}
    assert len(pauses) > 10
    assert RETRY_MS[0] <= min(pauses) <= max(pauses) <= RETRY_MS[1]
    for kind in (AIOKafkaProducer, AIOKafkaConsumer, AIOKafkaAdminClient):
        assert settings[0].keys() <= inspect.signature(kind).parameters.keys()


@pytest.mark.row(7)
@pytest.mark.parametrize(
    ("kind", "options", "close"),
    [
        (AIOKafkaProducer, {"enable_idempotence": True}, "stop"),
        (AIOKafkaProducer, {}, "stop"),
        (AIOKafkaConsumer, {}, "stop"),
        (AIOKafkaAdminClient, {}, "close"),
    ],
    ids=["idempotent producer", "producer", "consumer", "admin"],
)
async def test_a_client_of_a_starting_broker_does_not_wait_forever(
    kind: type[Any], options: dict[str, Any], close: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 2.0)
    async with starting_broker() as broker:
        connection = kind(**KafkaClient([broker]).settings, **options)
        try:
            with pytest.raises(KafkaConnectionError, match=r"ready within|is still starting"):
                await connect(connection)
        finally:
            await getattr(connection, close)()


@pytest.mark.row(7)
async def test_a_probe_of_a_starting_broker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 2.0)
    async with starting_broker() as broker:
        with pytest.raises(KafkaConnectionError, match="ready within"):
            await KafkaClient([broker]).probe()


@pytest.mark.slow
@pytest.mark.row(7)
@pytest.mark.parametrize("away", [False, True], ids=["answers", "away"])
async def test_a_reader_of_a_partition_without_a_leader_pauses_between_its_questions(away: bool) -> None:
    async with leaderless_broker("facts") as broker:
        reader = AIOKafkaConsumer(**KafkaClient([broker.address]).settings)
        try:
            await connect(reader)
            reader.assign([TopicPartition("facts", 0)])
            await _unhurried(broker.requested)
            if away:
                broker.go_away()
                await _unhurried(broker.requested)
        finally:
            await reader.stop()


@pytest.mark.slow
@pytest.mark.row(7)
async def test_a_producer_to_a_partition_without_a_leader_pauses_between_its_questions() -> None:
    async with leaderless_broker("facts") as broker:
        producer = AIOKafkaProducer(**KafkaClient([broker.address]).settings, request_timeout_ms=3000)
        try:
            await connect(producer)
            sent = await producer.send("facts", b"", partition=0)
            await _unhurried(broker.requested)
            with pytest.raises(LeaderNotAvailableError):
                await sent
        finally:
            await producer.stop()


async def _unhurried(requests: asyncio.Semaphore) -> None:
    """Some may come together: the first after a start, and those in flight."""
    for _ in range(5):
        await requests.acquire()
    began, pauses = time.monotonic(), 10
    for _ in range(pauses):
        await requests.acquire()
    assert time.monotonic() - began >= pauses * RETRY_MS[0] / 1000 / 2
