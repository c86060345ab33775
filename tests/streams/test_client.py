"""Clients of the broker: what all of them have in common."""

import inspect

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from streams.client import RETRY_MS, Client


@pytest.mark.row(7)
def test_clients_that_lost_a_broker_do_not_come_back_in_step() -> None:
    settings = [Client(["127.0.0.1:9"]).settings for _ in range(100)]
    pauses = {each["retry_backoff_ms"] for each in settings}
    assert len(pauses) > 10
    assert RETRY_MS[0] <= min(pauses) <= max(pauses) <= RETRY_MS[1]
    for client in (AIOKafkaProducer, AIOKafkaConsumer, AIOKafkaAdminClient):
        assert settings[0].keys() <= inspect.signature(client).parameters.keys()
