"""Ids and numbers of partitions of topics, as the broker reports them now.

A topic that is deleted and created again has another id under the same name. aiokafka asks for metadata in a version
without ids, so the request with ids is defined here.
"""

# ruff: noqa: SLF001 -- a contract test covers the private names of aiokafka

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

_NO_ID: Final = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class TopicMetadata:
    """One topic."""

    id: str | None
    """Its id; None where the broker has none."""
    partitions: int
    """The number of its partitions."""


class _Uuid(AbstractType[uuid.UUID]):
    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


class _MetadataResponse_v10(Response):  # noqa: N801 aiokafka's names
    API_KEY: ClassVar[int] = 3
    API_VERSION: ClassVar[int] = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition_index", Int32),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest_v10(RequestStruct):  # noqa: N801 aiokafka's names
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse_v10
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString()), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataWithIds(Request[_MetadataRequest_v10]):
    API_KEY = 3

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequest_v10]) -> _MetadataRequest_v10:
        topics: list[Any] = [(_NO_ID, name, {}) for name in self._topics]
        return request_struct_class(topics, False, False, False, {})


async def describe_topics(consumer: AIOKafkaConsumer, names: Collection[str]) -> Mapping[str, TopicMetadata]:
    """Ask a broker for these topics, and create none; a topic that it does not know is left out. Raises KafkaError."""
    network: Any = consumer._client
    node = network.get_random_node()
    if node is None:
        raise NodeNotReadyError("no broker is known")
    try:
        answer = await network.send(node, _MetadataWithIds(names))
    except NotImplementedError:
        # aiokafka raises it when the broker supports none of a request's versions: Apache Kafka before 2.8, which has
        # no ids of topics.
        answer = await network.send(node, MetadataRequest(list(names), allow_auto_topic_creation=False))
        return {topic[1]: TopicMetadata(None, len(topic[3])) for topic in answer.topics if topic[0] == 0}
    return {
        name: TopicMetadata(None if topic_id == _NO_ID else topic_id.hex, len(partitions))
        for error, name, topic_id, _, partitions, *_ in answer.topics
        if error == 0
    }
