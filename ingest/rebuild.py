"""Brings owner indexes up to what Kafka has of their sources, and keeps how far they have it.

A lost index is made again from the ledger. In every index, the events are missing that the broker had acknowledged when
the process was killed: they are read from the source topics, from the position up to which the index is known to have
them. For a lost index that is the position up to which the workers have written the ledger.

Until that is done, records of these sources are answered with 503; events without a source are taken. A partition that
is corrupt on the broker's disk is waited for, and so is a right that is taken away after the indexes were made.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NotCoordinatorForGroupError,
)

from aggregator import facts
from aggregator.facts import Annotation, Fact
from ingest.config import IngestConfig
from ingest.metrics import IngestMetrics
from sources.intake.intake import SourceIntake
from sources.intake.rebuild import SourceEvents, rebuild
from sources.intake.store import IndexUnusableError, SourcePositions, StoredIndex
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.pseudonyms import is_pseudonym
from streams.kafka.batches import CorruptPartitionError
from streams.kafka.client import KafkaClient, connect
from streams.kafka.producer import source_partitions
from streams.kafka.scan import Records, bounds, scan
from streams.kafka.topics import Topics, TopicsError
from streams.runtime.failures import REFUSALS
from streams.runtime.retries import retry_forever

_log = logging.getLogger(__name__)

KEEP_SECONDS: Final = 60.0
"""Time after which it is kept how far the indexes have the events."""
_PROGRESS_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 2.0
_COORDINATOR_SECONDS: Final = 60.0
_NO_COORDINATOR: Final = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)
_CORRUPT_SECONDS: Final = 30.0
"""Pause after a corrupt partition: all that precedes it is read again."""
_RETRIED: Final = (
    KafkaConnectionError,
    KafkaTimeoutError,
    TimeoutError,
    TopicsError,
    IndexUnusableError,
    CorruptPartitionError,
)
_UNUSABLE: Final = "the owner index cannot be used, for example because it is damaged or its disk is full: see the log"
"""Without the error, which has a path: strangers may ask whether a process is ready."""
_NOT_MADE: Final = "the owner index is being brought up to what Kafka has of the sources; try again soon"


@dataclass(frozen=True, slots=True)
class SourceTopics:
    """Where the events of sources are."""

    kafka: KafkaClient
    topics: Topics
    group: str
    """Consumer group of the workers."""
    decoder: Decoder
    prefixes: Iterable[str]
    """What the ids of the events of all sources begin with, also of those without an index."""

    async def catch_up(self, intakes: Sequence[SourceIntake]) -> int:
        """Bring the indexes up to what Kafka has now, while nothing is taken of these sources.

        Returns the number of records that were read. Raises TopicsError, TimeoutError, KafkaError.
        """
        places = await source_partitions(self.kafka, self.topics)
        # The workers write the ledger before they commit, so what is not on the ledger follows what is committed now.
        committed = await self._committed(places)
        starts, ends = await bounds(self.kafka, places)
        kept = {intake.source.rules.settings.prefix: _index(intake).positions() for intake in intakes}
        lost = {prefix for prefix, positions in kept.items() if not is_left(positions, starts, ends)}
        reading = _Reading(self, intakes, lost)
        since = {
            tp: min(
                max(starts[tp], committed.get(tp, 0)) if prefix in lost else (positions or {})[tp.topic][tp.partition]
                for prefix, positions in kept.items()
            )
            for tp in places
        }
        if lost:
            await scan(self.kafka, self.topics.facts, reading.ledger)
        reached = await self._read(reading, since)
        for intake in intakes:
            prefix = intake.source.rules.settings.prefix
            await asyncio.to_thread(rebuild, _index(intake), reading.sources[prefix], reached)
        return reading.records

    async def ends(self) -> SourcePositions:
        """The ends of the source topics. Raises TopicsError, KafkaError."""
        _, ends = await bounds(self.kafka, await source_partitions(self.kafka, self.topics))
        return by_topic(ends)

    async def _committed(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        admin, commits = AIOKafkaAdminClient(**self.kafka.settings), {}
        try:
            await connect(admin)
            async with asyncio.timeout(_COORDINATOR_SECONDS):
                # The first group of a broker takes a while.
                async for attempt in retry_forever(*_NO_COORDINATOR):
                    with attempt:
                        commits = await admin.list_consumer_group_offsets(self.group, partitions=list(places))
        finally:
            await admin.close()
        return {tp: commit.offset for tp, commit in commits.items() if commit.offset >= 0}

    async def _read(self, reading: "_Reading", since: Mapping[TopicPartition, int]) -> SourcePositions:
        """Read the source topics to their ends, and return these."""
        reached = {}
        for topic, kind in self.topics.sources.items():
            starts = {tp.partition: offset for tp, offset in since.items() if tp.topic == topic}
            reached[topic] = await scan(self.kafka, topic, reading.events(kind), since=starts)
        return reached


def by_topic(offsets: Mapping[TopicPartition, int]) -> dict[str, dict[int, int]]:
    """Offsets by topic and partition."""
    positions: dict[str, dict[int, int]] = {}
    for tp, offset in offsets.items():
        positions.setdefault(tp.topic, {})[tp.partition] = offset
    return positions


def is_left(
    positions: SourcePositions | None, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> bool:
    """Whether the topics have all events after these positions. They are not those of topics that were made again."""
    return positions is not None and all(
        starts[tp] <= positions.get(tp.topic, {}).get(tp.partition, -1) <= ends[tp] for tp in starts
    )


class _Reading:
    """What was read of the events of sources."""

    def __init__(self, where: SourceTopics, intakes: Sequence[SourceIntake], lost: Collection[str]) -> None:
        self.sources: dict[str, SourceEvents] = {}
        """By what the ids of their events begin with."""
        for intake in intakes:
            self.sources[intake.source.rules.settings.prefix] = SourceEvents(intake.source, _index(intake))
        self.records = 0
        self._decoder = where.decoder
        self._lost = lost
        # A prefix may begin with another one.
        self._prefixes = sorted({*where.prefixes, *self.sources}, key=len, reverse=True)
        self._marks = [_mark(prefix) for prefix in self.sources]
        self._logged_at = time.monotonic()

    def ledger(self, _partition: int, records: Records) -> None:
        """Read records of the ledger."""
        self._count(records)
        for record in records:
            if self._may_be_of_a_source(record.value):
                try:
                    fact = facts.parse(record.key or b"", record.value or b"")
                except ValueError:
                    # Workers end at a record that is no row, and name it.
                    continue
                # A source states the name, and would take the row of its pseudonym for one that it no longer states.
                if not (isinstance(fact, Annotation) and is_pseudonym(fact.annotator)):
                    self._add(fact, self._lost)

    def events(self, kind: Kind) -> Callable[[int, Records], None]:
        """Reads records of a source topic."""

        def read(_partition: int, records: Records) -> None:
            self._count(records)
            for record in records:
                if not self._may_be_of_a_source(record.value):
                    continue
                fact = self._decoder.decode_value(kind, record.value)
                if isinstance(fact, Rejection) or self._decoder.future_rejection(fact.at, record.timestamp):
                    continue
                self._add(fact, self.sources)

        return read

    def _count(self, records: Records) -> None:
        self.records += len(records)
        if (now := time.monotonic()) - self._logged_at >= _PROGRESS_SECONDS:
            self._logged_at = now
            _log.info("owner index is being made", extra={"records": self.records})

    def _may_be_of_a_source(self, value: bytes | None) -> bool:
        """Whether an event contains what ids of the sources begin with; most events are of others."""
        return value is not None and any(mark in value for mark in self._marks)

    def _add(self, fact: Fact, chosen: Collection[str]) -> None:
        """Add an event, if it is of one of the chosen sources."""
        prefix = next((prefix for prefix in self._prefixes if fact.id.startswith(f"{prefix}:")), None)
        if prefix is not None and prefix in chosen:
            self.sources[prefix].add(fact)


class IndexKeeper:
    """Makes the owner indexes of a running `ingest`, and keeps how far they have the events.

    Args:
        config: where the events are.
        intakes: sources; of those with an index nothing is taken until it is made.
        metrics: shows whether they are made.
    """

    def __init__(self, config: IngestConfig, intakes: Iterable[SourceIntake], metrics: IngestMetrics) -> None:
        self._where = source_topics(config)
        self._intakes = [intake for intake in intakes if intake.index is not None and intake.source.owns]
        self._metrics = metrics
        for intake in self._intakes:
            intake.not_made = _NOT_MADE
        metrics.index_made.set(not self._intakes)

    @property
    def reason(self) -> str | None:
        """Why records of sources cannot be taken; None when they can."""
        return next((intake.not_made for intake in self._intakes if intake.not_made is not None), None)

    async def run(self) -> None:
        """Make the indexes, then keep how far they have the events, until cancelled.

        Raises KafkaError when the broker refuses this user before the indexes are made.
        """
        if not self._intakes:
            await asyncio.Event().wait()
        await self._make()
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            # Without a right, the next start only reads more. The events themselves are taken.
            async for attempt in retry_forever(*_RETRIED, *REFUSALS):
                with attempt:
                    await self.keep()

    async def close(self) -> None:
        """Keep how far the indexes have the events, so that the next start is quick.

        Only if the broker answers soon, and the disk of the indexes is not full.
        """
        if self._intakes and self.reason is None:
            with contextlib.suppress(TimeoutError, KafkaError, TopicsError, IndexUnusableError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.keep()

    async def _make(self) -> None:
        async for attempt in retry_forever(*_RETRIED):
            with attempt:
                started = time.monotonic()
                try:
                    records = await self._where.catch_up(self._intakes)
                except CorruptPartitionError as error:
                    await self._wait_for_repair(error)
                    raise
                except IndexUnusableError as error:
                    if self.reason != _UNUSABLE:
                        _log.error("%s. Records of sources are answered with 503 until it can be used", error)
                    self._note(_UNUSABLE)
                    raise
                seconds = round(time.monotonic() - started, 1)
                _log.info("owner index is made", extra={"records": records, "seconds": seconds})
        for intake in self._intakes:
            intake.not_made = None
        self._metrics.index_made.set(1)

    async def _wait_for_repair(self, error: CorruptPartitionError) -> None:
        reason = f"the owner index cannot be made, because a partition is corrupt on the broker: {error}"
        if self.reason != reason:
            _log.error("%s. Records of sources are answered with 503 until the broker can read it", reason)
        self._note(reason)
        await asyncio.sleep(_CORRUPT_SECONDS)

    def _note(self, reason: str) -> None:
        for intake in self._intakes:
            intake.not_made = reason

    async def keep(self) -> None:
        """Keep how far the indexes have the events. Raises KafkaError, TopicsError, TimeoutError."""
        ends = await self._where.ends()
        for intake in self._intakes:
            # Whoever has the turn remembers what the broker acknowledged before these ends. What it did not acknowledge
            # is in the outbox.
            async with intake.turn:
                await asyncio.to_thread(_index(intake).advance, ends)


def source_topics(config: IngestConfig) -> SourceTopics:
    """Where the events of the sources in a configuration are."""
    prefixes = [source.rules.settings.prefix for source in config.sources.values()]
    return SourceTopics(config.kafka, config.topics, config.group, config.decoder, prefixes)


def _index(intake: SourceIntake) -> StoredIndex:
    assert intake.index is not None
    return intake.index


def _mark(prefix: str) -> bytes:
    """What an event has whose id begins with a prefix, as JSON."""
    return orjson.dumps(prefix)[1:-1] + b":"
