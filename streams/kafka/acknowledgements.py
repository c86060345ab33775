"""Which dead letters a person has acknowledged: the committed offsets of a consumer group that has no members.

The metadata of a commit is the timestamp of the newest acknowledged record. An end below the committed offset, or a
record below it that is newer, shows that the topic was created again: then none of its records is acknowledged.
"""

# ruff: noqa: SLF001 -- a contract test covers the private names of aiokafka

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
    for_code,
)
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.structs import OffsetAndMetadata

from aggregator.days import DAY_MS
from streams.kafka.client import KafkaClient, connect

_RETENTION_MS: Final = 3650 * DAY_MS
"""How long the broker keeps a commit; by default it deletes those of a group without members after 7 days."""
_COORDINATOR_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 0.1
_NO_MEMBER: Final = ""


class Acknowledgement(NamedTuple):
    """How much of one partition is acknowledged."""

    offset: int
    """The first offset that is not acknowledged."""
    newest_ms: int | None
    """Timestamp of the newest acknowledged record in milliseconds; None when it is unknown: the embedded broker stores
    no metadata, and forgets commits and topics together."""


Acknowledgements = Mapping[int, Acknowledgement]
"""By partition of the topic of dead letters."""


class _Positioned(Protocol):
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...


_R = TypeVar("_R", bound=_Positioned)
_T = TypeVar("_T")


def acknowledge_all(records: Sequence[_Positioned], ends: Mapping[int, int]) -> dict[int, Acknowledgement]:
    """The acknowledgement of a whole topic, from its records and the end of each partition."""
    return {
        partition: Acknowledgement(
            end, max((record.timestamp for record in records if record.partition == partition), default=None)
        )
        for partition, end in ends.items()
    }


def unacknowledged(
    records: Sequence[_R], ends: Mapping[int, int], acknowledgements: Acknowledgements
) -> tuple[list[_R], bool]:
    """The records that are not acknowledged, and whether the topic was created again since it was acknowledged."""
    recreated = any(known.offset > ends.get(partition, 0) for partition, known in acknowledgements.items()) or any(
        record.offset < known.offset and record.timestamp > known.newest_ms
        for record in records
        if (known := acknowledgements.get(record.partition)) is not None and known.newest_ms is not None
    )
    if recreated:
        return list(records), True
    return [
        record
        for record in records
        if (known := acknowledgements.get(record.partition)) is None or record.offset >= known.offset
    ], False


async def read_acknowledgements(client: KafkaClient, group: str, topic: str, partitions: int) -> Acknowledgements:
    """Read what is acknowledged of a topic. Raises KafkaError."""
    commits = await _commits(client, group, topic, partitions)
    return {
        partition: Acknowledgement(commit.offset, int(commit.metadata) if commit.metadata else None)
        for partition, commit in commits.items()
    }


async def committed_offsets(client: KafkaClient, group: str, topic: str, partitions: int) -> dict[int, int]:
    """Read the committed offset of each partition that has one, without becoming a member. Raises KafkaError."""
    return {
        partition: commit.offset for partition, commit in (await _commits(client, group, topic, partitions)).items()
    }


async def _commits(client: KafkaClient, group: str, topic: str, partitions: int) -> dict[int, OffsetAndMetadata]:
    wanted = [TopicPartition(topic, partition) for partition in range(partitions)]

    async def read(admin: AIOKafkaAdminClient, coordinator: int) -> dict[int, OffsetAndMetadata]:
        commits = await admin.list_consumer_group_offsets(group, coordinator, wanted)
        if missing := [tp for tp in wanted if tp not in commits]:
            # aiokafka ignores an error of the whole response; the offset of a partition without a commit is -1.
            raise NotCoordinatorError(f"{coordinator} does not report the commits of {group} for {missing}")
        return {tp.partition: commit for tp, commit in commits.items() if commit.offset >= 0}

    return await _ask_coordinator(client, group, read)


async def write_acknowledgements(
    client: KafkaClient, group: str, topic: str, acknowledgements: Acknowledgements
) -> None:
    """Write what is acknowledged of a topic. Raises KafkaError."""
    commits = [
        (partition, offset, "" if newest_ms is None else str(newest_ms))
        for partition, (offset, newest_ms) in acknowledgements.items()
    ]
    request = OffsetCommitRequest(
        group, OffsetCommitRequest.DEFAULT_GENERATION_ID, _NO_MEMBER, _RETENTION_MS, [(topic, commits)]
    )

    async def write(admin: AIOKafkaAdminClient, coordinator: int) -> None:
        response: Any = await admin._send_request(request, coordinator)
        for _, partitions in response.topics:
            for partition, code in partitions:
                if code:
                    raise for_code(code)(f"{topic}[{partition}] is not acknowledged in the group {group}")

    await _ask_coordinator(client, group, write)


async def _ask_coordinator(
    client: KafkaClient, group: str, ask: Callable[[AIOKafkaAdminClient, int], Awaitable[_T]]
) -> _T:
    """Ask the coordinator of a group. A broker that never had a group creates its internal topic first."""
    admin = AIOKafkaAdminClient(**client.settings)
    deadline = time.monotonic() + _COORDINATOR_SECONDS
    try:
        await connect(admin)
        while True:
            try:
                return await ask(admin, await admin.find_coordinator(group))
            except (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError):
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_RETRY_SECONDS)
    finally:
        await admin.close()
