"""Which request asks a broker for topics, by the versions that it supports."""

import asyncio
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IncompatibleBrokerVersion

from streams.kafka.topic_metadata import TopicMetadata, describe_topics

METADATA = 3
ID = uuid.UUID("0123456789abcdef0123456789abcdef")


def described(metadata_versions: tuple[int, int] | None, *topics: tuple[Any, ...]) -> tuple[Any, list[int]]:
    """What `describe_topics` returns, and the versions of the requests that were sent."""
    sent: list[int] = []

    async def send(_: int, request: Any) -> Any:
        # As a connection of aiokafka does, with the versions that the broker reports.
        sent.append(request.prepare({} if metadata_versions is None else {METADATA: metadata_versions}).API_VERSION)
        return SimpleNamespace(topics=topics)

    consumer: Any = SimpleNamespace(_client=SimpleNamespace(get_random_node=lambda: 0, send=send))
    return asyncio.run(describe_topics(consumer, ["a"])), sent


def test_a_broker_with_topic_ids_is_asked_for_them() -> None:
    topics: list[tuple[Any, ...]] = [(0, "a", ID, False, [(), ()]), (3, "b", uuid.UUID(int=0), False, [])]
    assert described((0, 12), *topics) == ({"a": TopicMetadata(ID.hex, 2)}, [10])


def test_a_broker_without_topic_ids_is_asked_in_a_version_that_it_has() -> None:
    topics: list[tuple[Any, ...]] = [(0, "a", False, [(), (), ()]), (3, "b", False, [])]
    assert described((0, 9), *topics) == ({"a": TopicMetadata(None, 3)}, [5])


def test_a_broker_that_reports_no_metadata_request_is_an_error() -> None:
    with pytest.raises(IncompatibleBrokerVersion):
        described(None)
