"""Asks the broker whether a producer may write to topics, without writing anything."""

from collections.abc import Collection
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.produce import ProduceRequest

_TIMEOUT_MS: Final = 10_000


async def require_writing(connected: AIOKafkaProducer, topics: Collection[str]) -> None:
    """Raise TopicAuthorizationFailedError, with the topic, if the broker refuses to let this user write to one.

    A broker checks rights before records, and refuses a request without records as invalid. One that answers something
    else, or nothing, is taken to allow it: then the first record shows it.
    """
    network: Any = connected.client
    for topic in topics:
        partition = next(iter(network.cluster.partitions_for_topic(topic) or ()), None)
        if partition is None:
            continue
        node = network.cluster.leader_for_partition(TopicPartition(topic, partition))
        if node is None or node < 0:
            continue
        request = ProduceRequest(
            transactional_id=None, required_acks=-1, timeout=_TIMEOUT_MS, topics=[(topic, [(partition, b"")])]
        )
        try:
            answer: Any = await network.send(node, request)
        except KafkaError:
            continue
        for name, partitions in answer.topics:
            if any(code == TopicAuthorizationFailedError.errno for _, code, *_ in partitions):
                raise TopicAuthorizationFailedError(name)
