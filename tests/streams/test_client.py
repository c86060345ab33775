"""Clients of the broker: what all of them have in common."""

import inspect
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from streams import client
from streams.client import RETRY_MS, Client, connect
from tests.support.starting_broker import starting_broker


@pytest.mark.row(7)
def test_clients_that_lost_a_broker_do_not_come_back_in_step() -> None:
    settings = [Client(["127.0.0.1:9"]).settings for _ in range(100)]
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
async def test_a_client_that_met_a_starting_broker_does_not_wait_without_end(
    kind: type[Any], options: dict[str, Any], close: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 2.0)
    async with starting_broker() as broker:
        connection = kind(**Client([broker]).settings, **options)
        try:
            with pytest.raises(KafkaConnectionError, match=r"ready within|does not know of any broker"):
                await connect(connection)
        finally:
            await getattr(connection, close)()


@pytest.mark.row(7)
async def test_a_probe_of_a_starting_broker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 2.0)
    async with starting_broker() as broker:
        with pytest.raises(KafkaConnectionError, match="ready within"):
            await Client([broker]).probe()
