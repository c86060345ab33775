"""The topic watch: once a minute, compares the topics of the broker with those that this worker began with.

A consumer of Kafka reads by name and offset. It does not notice that a topic was deleted and created again with more
records than the old one had, and reads only some minutes later from partitions that were added.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka.errors import KafkaError

from streams.engine.partition import OwnedPartitions
from streams.kafka.topic_metadata import TopicMetadata
from streams.kafka.topics import Topics
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError

WATCH_SECONDS: Final = 30.0
"""Time between two looks."""
_SECOND_LOOK_SECONDS: Final = 2.0
"""Time after which a change must be seen again: the metadata of one of several brokers may be older."""
_TIMEOUT_SECONDS: Final = 5.0

Describe = Callable[[Collection[str]], Awaitable[Mapping[str, TopicMetadata]]]
"""Asks the broker for topics by name."""


@dataclass(slots=True)
class TopicWatch:
    """Looks for partitions that were added, and for sources that were created again."""

    topics: Topics
    partitions: int
    """P, the number of partitions of the claim."""
    owned: OwnedPartitions
    describe: Describe

    async def run(self) -> None:
        """Look until cancelled. Raises FatalError for a change, which this worker cannot follow."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if await self._change() is not None:
                await asyncio.sleep(_SECOND_LOOK_SECONDS)
                if (change := await self._change()) is not None:
                    raise change

    async def _change(self) -> FatalError | None:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                described = await self.describe(self.topics.copartitioned)
        except (KafkaError, TimeoutError):
            # The watchdog reports a broker that is away.
            return None
        return self._widened(described) or self._recreated(described)

    def _widened(self, described: Mapping[str, TopicMetadata]) -> FatalError | None:
        counts = {name: topic.partitions for name, topic in described.items()}
        wider = [f"{name} has {count}" for name, count in counts.items() if count > self.partitions]
        if not wider:
            return None
        return FatalError(
            ExitCode.PARTITIONS_CHANGED,
            f"partitions were added: {', '.join(wider)}, the ledger has {self.partitions}. No worker reads the events "
            "of the new partitions",
        )

    def _recreated(self, described: Mapping[str, TopicMetadata]) -> FatalError | None:
        changes = {
            f"{name} (id {topic_id}, now {now})"
            for owned in self.owned
            if owned.ready
            for name, topic_id in owned.topic_ids.items()
            if name in described and (now := described[name].id) not in (None, topic_id)
        }
        if not changes:
            return None
        return FatalError(
            ExitCode.INPUT_LOST,
            f"deleted and created again: {', '.join(sorted(changes))}. Start the worker again: it starts at the oldest "
            "event of the new topic",
        )
