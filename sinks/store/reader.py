"""Reads the facts and tallies topics into the store.

It has no consumer group: positions are in the store, in the same transaction as the data. One `Tail` per partition
decides what becomes visible; the steps of many checkpoint markers are applied together. While the store cannot be
written, the reader keeps its steps and reads no further.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from sinks.freshness import Freshness
from sinks.metrics import ViewMetrics
from sinks.store.store import ForeignWriteError, Store
from sinks.store.tail import Step, Tail
from streams.kafka.batches import Batch, Record, fetch
from streams.kafka.client import connect
from streams.kafka.topics import TopicsError
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.outage import BrokerOutage
from streams.runtime.retries import retry_forever

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_Client = TypeVar("_Client", AIOKafkaConsumer, AIOKafkaAdminClient)

_CLIENT_ID: Final = "eval-alignment-view"

_ENOUGH_RECORDS: Final = 20_000
"""Records in memory from which they are applied; records of other partitions that are already fetched wait."""
_FETCH_BYTES: Final = 128 << 10
"""Largest fetch of a partition: it is decoded on the event loop, which must stay responsive."""
_APPLY_SECONDS: Final = 0.05
"""Minimum time between two transactions, because each waits for the disk."""
_TOPIC_WAIT_SECONDS: Final = 0.5


class ReadError(EvalAlignmentError):
    """A record of the ledger or the tallies is invalid; the message names topic, partition and, if known, the offset.

    The payload of a tally and a row of the ledger are parsed when they are applied; their offset is not known by then.
    """

    exit_code = ExitCode.LEDGER_UNREADABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderConfig:
    """Configuration of a reader."""

    client: Mapping[str, Any]
    """Arguments of every Kafka client: bootstrap servers, security."""
    facts_topic: str = "alignment.facts.v1"
    tallies_topic: str = "alignment.tallies.v1"
    spool_rows: int = 20_000
    """Most ledger rows of a partition that wait in memory for their marker; more are moved to the store."""


class Reader:
    """Keeps a store up to date with the topics.

    Args:
        config: configuration.
        store: the store. Nothing else may write rows, tallies or positions.
        changed: called in the event loop with the queues whose documents may have changed.
        metrics: counts passes and failures, and shows readiness.
        freshness: is told of every checkpoint marker that is applied.
    """

    def __init__(
        self,
        config: ReaderConfig,
        store: Store,
        changed: Callable[[set[str]], None],
        metrics: ViewMetrics,
        freshness: Freshness,
    ) -> None:
        self.ready = False
        self._config = config
        self._store = store
        self._changed = changed
        self._metrics = metrics
        self._freshness = freshness
        self._tails: dict[int, Tail] = {}
        self._tallies_next: dict[int, int] = {}
        self._goals: dict[TopicPartition, int] = {}
        self._started_ms = 0
        self._marker_ms: dict[int, int] = {}
        self._outage = BrokerOutage()

    async def run(self) -> None:
        """Read until cancelled; waits for an unavailable broker. Raises ReadError for an invalid record."""
        while True:
            try:
                await self._read()
            except ForeignWriteError as error:
                log.warning("continuing from what the store has now: %s", error)

    async def _read(self) -> None:
        """Read from the positions in the store, until something fails."""
        consumer = await self._connect()
        try:
            await self._assign(consumer)
            applied = time.monotonic()
            while True:
                batches = await self._fetch(consumer)
                if batches:
                    self._outage.answered()
                    await asyncio.to_thread(self._feed, batches)
                elif self._outage.ongoing:
                    await _ask_for_metadata(consumer)
                await self._restart(consumer)
                if not batches or time.monotonic() - applied >= _APPLY_SECONDS:
                    await self._apply()
                    applied = time.monotonic()
                    await self._check_ready(consumer, quiet=not batches)
        finally:
            await consumer.stop()

    # ---- connecting

    async def _connect(self) -> AIOKafkaConsumer:
        return await self._started(
            lambda: AIOKafkaConsumer(
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                client_id=_CLIENT_ID,
                max_partition_fetch_bytes=_FETCH_BYTES,
                **self._config.client,
            )
        )

    async def _started(self, make: Callable[[], _Client]) -> _Client:
        async for attempt in retry_forever(KafkaConnectionError, KafkaTimeoutError):
            with attempt:
                client = make()
                try:
                    await connect(client, self._outage)
                except BaseException as error:
                    self._outage.failed(error)
                    await _stop(client)
                    raise
                self._outage.answered()
                return client
        raise AssertionError("retries do not end")

    async def _partitions(self) -> int:
        """Wait for both topics; returns their number of partitions."""
        topics = [self._config.facts_topic, self._config.tallies_topic]
        warned = False
        while True:
            admin = await self._started(lambda: AIOKafkaAdminClient(client_id=_CLIENT_ID, **self._config.client))
            try:
                # The list comes first: to describe a topic may create it.
                described = []
                if set(topics) <= set(await admin.list_topics()):
                    described = await admin.describe_topics(topics)
            finally:
                await admin.close()
            counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
            if len(set(counts.values())) > 1:
                raise TopicsError(f"facts and tallies must have the same number of partitions: {counts}")
            if count := min(counts.values(), default=0):
                return count
            if not warned:
                log.warning("waiting for the topics %s and %s: create them with `eval-alignment topics apply`", *topics)
                warned = True
            await asyncio.sleep(_TOPIC_WAIT_SECONDS)

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        count = await self._partitions()
        facts = [TopicPartition(self._config.facts_topic, partition) for partition in range(count)]
        tallies = [TopicPartition(self._config.tallies_topic, partition) for partition in range(count)]
        consumer.assign([*facts, *tallies])
        self._started_ms = time.time_ns() // 1_000_000
        self._freshness.expect(range(count))
        self._goals = await consumer.end_offsets([*facts, *tallies])
        stored = await asyncio.to_thread(self._store.resume)
        for partition in range(count):
            state = stored.get(partition)
            if (
                state is None
                or state.ledger is None
                or state.facts_next > self._goals[facts[partition]]
                or state.tallies_next > self._goals[tallies[partition]]
            ):
                # Nothing is read yet, or the log is shorter than what was read (it was created again, or the broker's
                # end offsets lag): read from the beginning. Rows that are read twice merge to the same state.
                await self._from_beginning(consumer, partition)
                continue
            self._tails[partition] = Tail(partition, state.ledger, state.position or 0, state.facts_next)
            self._tallies_next[partition] = state.tallies_next
            consumer.seek(facts[partition], state.facts_next)
            consumer.seek(tallies[partition], state.tallies_next)

    async def _from_beginning(
        self, consumer: AIOKafkaConsumer, partition: int, unclaimed: frozenset[str] = frozenset()
    ) -> None:
        await self._retried(partial(self._store.forget_pending, partition))
        state = (await asyncio.to_thread(self._store.partitions)).get(partition)
        self._tails[partition] = Tail(
            partition, state.ledger if state else None, (state.position if state else None) or 0, None, unclaimed
        )
        self._tallies_next[partition] = 0
        await consumer.seek_to_beginning(
            TopicPartition(self._config.facts_topic, partition),
            TopicPartition(self._config.tallies_topic, partition),
        )

    async def _restart(self, consumer: AIOKafkaConsumer) -> None:
        for partition, tail in list(self._tails.items()):
            if tail.restart:
                log.warning("reading partition %d from the beginning: its ledger or log is new", partition)
                await self._from_beginning(consumer, partition, tail.unclaimed)

    # ---- feeding and applying

    async def _fetch(self, consumer: AIOKafkaConsumer) -> list[Batch]:
        """Everything that is fetched already, because a step needs both topics; waits briefly for the first record."""
        batches = await fetch(consumer, self._goals, _APPLY_SECONDS)
        count = sum(len(batch.records) for batch in batches)
        while batches and count < _ENOUGH_RECORDS:
            # One partition at a time, so that requests are answered in between.
            await asyncio.sleep(0)
            more = await fetch(consumer, self._goals, 0.0)
            if not more:
                break
            batches += more
            count += sum(len(batch.records) for batch in more)
        return batches

    def _feed(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            tail = self._tails[batch.partition]
            is_facts = batch.topic == self._config.facts_topic
            for record in batch.records:
                expected = tail.facts_next if is_facts else self._tallies_next[batch.partition]
                if record.offset < expected:
                    # The offset was out of range and the consumer went back: this is another log.
                    tail.restart = True
                if tail.restart:
                    break
                if record.key is None or record.value is None:
                    raise _unreadable(batch, record, "record without key or value")
                try:
                    if is_facts:
                        tail.fact(record.offset, record.key, record.value)
                    else:
                        tail.timestamp = record.timestamp if record.timestamp > 0 else None
                        tail.tally(record.offset, record.key, record.value)
                        self._tallies_next[batch.partition] = record.offset + 1
                except (ValueError, KeyError, TypeError) as error:
                    raise _unreadable(batch, record, repr(error)) from error
            if is_facts and not tail.restart:
                tail.skip_to(batch.next)

    async def _apply(self) -> None:
        steps = [step for tail in self._tails.values() if (step := self._step(tail))]
        if steps:
            try:
                changed = await self._retried(partial(self._store.apply, steps, len(self._tails)))
            except ValueError as error:
                raise ReadError(f"{self._config.facts_topic}: {error}") from error
            self._marker_ms.update((step.partition, step.marker["at"]) for step in steps)
            for step in steps:
                self._freshness.closed(step.partition, step.marker, step.appended)
            self._changed(changed)
        self._metrics.succeeded("store", time.time())
        for tail in self._tails.values():
            if tail.waiting > self._config.spool_rows:
                await self._retried(partial(self._store.spool, tail.partition, tail.spool()))

    def _step(self, tail: Tail) -> Step | None:
        try:
            return tail.step()
        except ValueError as error:
            raise ReadError(f"{self._config.tallies_topic}/{tail.partition}: {error!r}") from error

    async def _retried(self, write: Callable[[], _T]) -> _T:
        async for attempt in retry_forever(sqlite3.OperationalError):
            with attempt:
                try:
                    return await asyncio.to_thread(write)
                except sqlite3.OperationalError:
                    # The disk is full, or the store is locked or read-only. The view serves the last good state.
                    self._metrics.failed("store")
                    raise
        raise AssertionError("retries do not end")

    async def _check_ready(self, consumer: AIOKafkaConsumer, *, quiet: bool) -> None:
        if self.ready:
            return
        for tp, goal in self._goals.items():
            if await consumer.position(tp) < goal:
                return
        # End offsets of the embedded broker may be too low: wait until it has no more records, or every partition has a
        # checkpoint since the start.
        current = len(self._marker_ms) == len(self._tails) and min(self._marker_ms.values()) >= self._started_ms
        if quiet or current:
            self.ready = True
            self._metrics.ready.set(1)
            log.info("caught up with %d partitions", len(self._tails))


async def _stop(client: AIOKafkaConsumer | AIOKafkaAdminClient) -> None:
    await (client.stop() if isinstance(client, AIOKafkaConsumer) else client.close())


async def _ask_for_metadata(consumer: AIOKafkaConsumer) -> None:
    """Let the consumer see that brokers answer again: without records it asks only every five minutes."""
    with contextlib.suppress(KafkaError):
        await consumer.topics()


def _unreadable(batch: Batch, record: Record, why: str) -> ReadError:
    return ReadError(f"{batch.topic}/{batch.partition} at {record.offset}: {why}")
