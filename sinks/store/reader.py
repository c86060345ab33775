"""Reads the facts and tallies topics into the store.

It has no consumer group: positions are in the store, in the same transaction as the data. One `Tail` per partition
decides what becomes visible; the steps of many checkpoint markers are applied together. While the store cannot be
written, the reader keeps its steps and reads no further.

What it cannot read does not end it. A partition with an invalid record, and all of them while the broker refuses the
view's user, keep their last good state; `Freshness` is told why, and reading goes on.
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
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    TopicAuthorizationFailedError,
)

from sinks.freshness import Freshness
from sinks.metrics import ViewMetrics
from sinks.store.search_writer import SearchWriter
from sinks.store.store import ForeignWriteError, Store
from sinks.store.tail import Step, Tail
from streams.kafka.batches import Batch, CorruptPartitionError, fetch
from streams.kafka.client import connect
from streams.kafka.topics import TopicsError
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
_IDLE_SECONDS: Final = 5.0
"""Time without a step after which a partition's waiting records are looked at, to say what is wrong with them."""
_REFUSED_SECONDS: Final = 2.0
"""Pause between two attempts while the broker refuses the view's user."""
_ALLOWED_SECONDS: Final = 5.0
"""Time without a refusal after which the user is allowed again, when no record arrives that shows it."""
_CORRUPT_SECONDS: Final = 10.0
"""Pause between two attempts to read a log that is corrupt on the broker's disk."""
_LISTED: Final = 3
_REFUSALS: Final = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)


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
        freshness: is told of every checkpoint marker that is applied, and of what cannot be read.
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
        self._search = SearchWriter(store, metrics)
        self._tails: dict[int, Tail] = {}
        self._tallies_next: dict[int, int] = {}
        self._goals: dict[TopicPartition, int] = {}
        self._started_ms = 0
        self._marker_ms: dict[int, int] = {}
        self._outage = BrokerOutage()
        self._held: dict[int | None, str] = {}
        """Why partitions keep their last state; None stands for all of them."""
        self._foreign: dict[int, int] = {}
        self._stepped: dict[int, float] = {}
        """When the last step of each partition was applied, in monotonic seconds."""
        self._corrupt: dict[TopicPartition, tuple[str, float]] = {}
        """Logs that are corrupt on the broker's disk: why, and when to read on, in monotonic seconds."""

    @property
    def foreign_rows(self) -> int:
        """Number of counted ledger rows that no worker wrote, as the last checkpoint markers state."""
        return sum(self._foreign.values())

    async def run(self) -> None:
        """Read until cancelled; waits for a broker that is unavailable or refuses the view's user.

        Raises FatalError for a ledger of a newer release, TopicsError for topics that do not fit together.
        """
        while True:
            try:
                await self._read()
            except ForeignWriteError as error:
                log.warning("continuing from what the store has now: %s", error)
            except _REFUSALS as error:
                # A right that was taken away is given back by somebody, as a broker that is away comes back.
                self._hold(None, f"the broker refuses to let this view read: {type(error).__name__} {error}")
                await asyncio.sleep(_REFUSED_SECONDS)

    async def _read(self) -> None:
        """Read from the positions in the store, until something fails."""
        consumer = await self._connect()
        try:
            await self._assign(consumer)
            applied = began = time.monotonic()
            while True:
                batches = await self._fetch(consumer)
                if batches:
                    self._outage.answered()
                    await asyncio.to_thread(self._feed, batches)
                elif self._outage.ongoing:
                    await _ask_for_metadata(consumer)
                if batches or time.monotonic() - began > _ALLOWED_SECONDS:
                    self._release(None)
                await self._restart(consumer)
                if not batches or time.monotonic() - applied >= _APPLY_SECONDS:
                    await self._apply()
                    applied = time.monotonic()
                    await self._check_held(consumer)
                    await self._check_ready(consumer, quiet=not batches)
                    if self.ready:
                        await self._search.write_some(lag=self._lag(consumer), busy=bool(batches))
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
                self._hold(None, f"the topics {' and '.join(topics)} do not exist, or the view's user may not see them")
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
        batches = await self._take(consumer, _APPLY_SECONDS)
        count = sum(len(batch.records) for batch in batches)
        while batches and count < _ENOUGH_RECORDS:
            # One partition at a time, so that requests are answered in between.
            await asyncio.sleep(0)
            more = await self._take(consumer, 0.0)
            if not more:
                break
            batches += more
            count += sum(len(batch.records) for batch in more)
        return batches

    async def _take(self, consumer: AIOKafkaConsumer, wait_seconds: float) -> list[Batch]:
        """What one partition has. One that is corrupt is tried again later, and the others are read meanwhile."""
        try:
            batches = await fetch(consumer, self._goals, wait_seconds)
        except CorruptPartitionError as error:
            consumer.pause(error.partition)
            why = f"{error.why}: restore the log of the broker"
            self._corrupt[error.partition] = why, time.monotonic() + _CORRUPT_SECONDS
            return []
        for batch in batches:
            self._corrupt.pop(TopicPartition(batch.topic, batch.partition), None)
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
                if is_facts:
                    tail.fact(record.offset, record.key, record.value)
                else:
                    tail.timestamp = record.timestamp if record.timestamp > 0 else None
                    tail.tally(record.offset, record.key, record.value)
                    self._tallies_next[batch.partition] = record.offset + 1
            if is_facts and not tail.restart:
                tail.skip_to(batch.next)

    async def _apply(self) -> None:
        steps = [step for tail in self._tails.values() if (step := tail.step())]
        if steps:
            changed, invalid = await self._retried(partial(self._write, steps))
            for step in steps:
                end = self._goals[TopicPartition(self._config.tallies_topic, step.partition)]
                self._freshness.closed(step.partition, step.marker, step.appended, arrived=step.tallies_next > end)
                self._foreign[step.partition] = step.marker.get("foreign", 0)
                self._stepped[step.partition] = time.monotonic()
            self._pass_over([*(over for step in steps for over in step.passed_over), *invalid])
            self._marker_ms.update((step.partition, step.appended or step.marker["at"]) for step in steps)
            self._changed(changed)
            self._search.note_change()
        self._metrics.succeeded("store", time.time())
        for tail in self._tails.values():
            if tail.waiting > self._config.spool_rows:
                await self._retried(partial(self._store.spool, tail.partition, tail.spool()))

    def _lag(self, consumer: AIOKafkaConsumer) -> int:
        """Number of records that the broker has and this reader has not read, as far as the last answers tell."""
        lag = 0
        for partition, tail in self._tails.items():
            for topic, following in (
                (self._config.facts_topic, tail.facts_next),
                (self._config.tallies_topic, self._tallies_next[partition]),
            ):
                lag += max(0, (consumer.highwater(TopicPartition(topic, partition)) or 0) - following)
        return lag

    def _write(self, steps: Sequence[Step]) -> tuple[set[str], list[str]]:
        """Apply steps; returns the changed queues, and the rows that are passed over, in words."""
        invalid: list[str] = []

        def on_invalid(key: bytes, error: ValueError) -> None:
            invalid.append(f"the ledger's row {key[:200]!r}: {error}")

        return self._store.apply(steps, len(self._tails), on_invalid), invalid

    def _pass_over(self, records: Sequence[str]) -> None:
        if records:
            self._metrics.invalid_records.inc(len(records))
            log.warning(
                "passed over %d invalid records that the worker went on from: %s%s",
                len(records),
                "; ".join(records[:_LISTED]),
                " ..." if len(records) > _LISTED else "",
            )

    # ---- what cannot be read

    async def _check_held(self, consumer: AIOKafkaConsumer) -> None:
        """Tell which partitions keep their last state although records arrive, and why."""
        now = time.monotonic()
        corrupt = {}
        for tp, (why, again_at) in self._corrupt.items():
            corrupt[tp.partition] = why
            if now >= again_at:
                consumer.resume(tp)
        for partition, tail in self._tails.items():
            idle = now - self._stepped.setdefault(partition, now) > _IDLE_SECONDS
            if idle:
                await asyncio.to_thread(tail.inspect)
            reason = tail.problem or corrupt.get(partition)
            if reason is None and idle and tail.highest > tail.facts_next:
                reason = (
                    f"the tallies name position {tail.highest} of the ledger, which ends at {tail.facts_next}: rows "
                    "are missing, or somebody else wrote a tally"
                )
            if reason is None:
                self._release(partition)
            else:
                self._hold(partition, reason)

    def _hold(self, partition: int | None, reason: str) -> None:
        if self._held.get(partition) != reason:
            who = "the view" if partition is None else f"partition {partition}"
            log.error("%s keeps its last state, and is stale: %s", who, reason)
        self._held[partition] = reason
        self._freshness.hold(partition, reason)

    def _release(self, partition: int | None) -> None:
        if self._held.pop(partition, None) is not None:
            log.info("%s is read again", "the view" if partition is None else f"partition {partition}")
            self._freshness.release(partition)

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
            if tp not in self._corrupt and await consumer.position(tp) < goal:
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
