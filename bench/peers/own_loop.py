"""The worker's own steps without Faust: what is left when the framework goes, so the difference is what it costs.

Decoding, folding, ledger, tallies, checkpoint and audit are the worker's code on an aiokafka consumer: a checkpoint
every 50 ms or at 40,000 dirty rows, an audit every minute, offsets committed every second. One process with all
partitions assigned by hand: no membership, no restore, no fence, no health, no dead letters.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from aggregator.ledger_ids import new_ledger_id
from aggregator.policy import Policy
from aggregator.shard import Shard
from bench.peers.job import Told, arguments
from streams.engine.apply import BatchApplier
from streams.engine.audit import Audit
from streams.engine.checkpoint import Checkpoint
from streams.engine.circuit_breaker import CircuitBreaker, CircuitBreakerPolicy
from streams.engine.engine import CHECKPOINT_SECONDS, MAX_DIRTY_ROWS
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.start import Start
from streams.events.decoder import Decoder
from streams.kafka.batches import fetch
from streams.kafka.client import KAFKA, KafkaClient
from streams.kafka.topics import Topics, partition_counts
from streams.ledger.claim import CLAIM_KEY, SCHEMA, Claim
from streams.ledger.log import Log, new_producer, new_reader
from streams.runtime.chunks import CHUNK_RECORDS
from streams.runtime.heap import HeapFreezer
from streams.runtime.metrics import WorkerMetrics

_FETCH_WAIT_MS = 50
_FETCH_BYTES = 1 << 20
_AUDIT_SECONDS = 60.0


class Released:
    """What the checkpoint asks of a group: it keeps what may be committed."""

    def __init__(self) -> None:
        self.positions: dict[TP, int] = {}

    def release(self, positions: Mapping[TP, int]) -> None:
        """These may be committed."""
        self.positions.update(positions)

    def watermarks(self, _partition: TP) -> None:
        """Not known."""


class Loop:
    """Everything between the consumer and the two logs."""

    def __init__(self, told: Told, topics: Topics, consumer: AIOKafkaConsumer, partitions: int) -> None:
        self._consumer = consumer
        self._sources = [TopicPartition(topic, n) for topic in topics.sources for n in range(partitions)]
        client = KafkaClient([told.bootstrap])
        self._producer = new_producer(client, KAFKA)
        self._audited = new_reader(client)
        metrics = WorkerMetrics("bench", lambda: ())
        self._applier = BatchApplier(topics, partitions, Decoder(), CircuitBreaker(CircuitBreakerPolicy()), metrics)
        self._released = Released()
        self._checkpoint = Checkpoint(Policy.EACH, self._released, metrics, lambda _: None)
        self._owned = OwnedPartitions()
        self._owned.assign(
            frozenset(range(partitions)),
            lambda n: OwnedPartition(
                n, Shard(n), Log(self._producer, topics.facts, n), Log(self._producer, topics.tallies, n)
            ),
        )
        self._audit = Audit(Policy.EACH, _AUDIT_SECONDS, self._owned, self._producer, self._audited, metrics)
        self._ledger = new_ledger_id()
        self._work = asyncio.Event()
        self._urgent = asyncio.Event()
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Work until SIGTERM."""
        await self._producer.start()
        await self._audited.start()
        self._consumer.assign(self._sources)
        partitions = len(self._owned)
        for owned in self._owned:
            claim = Claim(self._ledger, partitions, Policy.EACH, SCHEMA, "bench", int(time.time() * 1000))
            await owned.ledger.append([(CLAIM_KEY, claim.encode())])
            owned.claimed(claim)
            owned.restored({TP(*tp): Start(0) for tp in self._sources if tp.partition == owned.partition})
        self._owned.begin_generation(1)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        async with asyncio.TaskGroup() as tasks:
            works = self._apply(), self._checkpoints(), self._commits(), self._audit.run(self._lock)
            running = [tasks.create_task(work) for work in works]
            await ended.wait()
            for task in running:
                task.cancel()
        await self._audited.stop()
        await self._producer.stop()

    async def _apply(self) -> None:
        while True:
            for batch in await fetch(self._consumer, self._sources, 0.5):
                owned = self._owned.get(batch.partition)
                assert owned is not None
                for start in range(0, len(batch.records), CHUNK_RECORDS):
                    await owned.thawed()
                    rejected = self._applier.apply(owned, batch.topic, batch.records[start : start + CHUNK_RECORDS])
                    assert not rejected, rejected[0]
                    owned.applied()
                    self._work.set()
                    while self._owned.dirty_rows >= MAX_DIRTY_ROWS:
                        self._urgent.set()
                        await self._checkpoint.next_drain()
                    await asyncio.sleep(0)
                owned.processed(batch.topic, batch.next, None)
                self._work.set()

    async def _checkpoints(self) -> None:
        rows = HeapFreezer()
        taken_at = 0.0
        while True:
            await self._work.wait()
            self._work.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, taken_at + CHECKPOINT_SECONDS - time.monotonic())):
                    await self._urgent.wait()
            self._urgent.clear()
            async with self._lock:
                if due := [owned for owned in self._owned if owned.changed]:
                    taken_at = time.monotonic()
                    await self._checkpoint(due)
                    rows.count(self._owned.rows)

    async def _commits(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            released, self._released.positions = self._released.positions, {}
            if released:
                await self._consumer.commit({TopicPartition(*tp): offset for tp, offset in released.items()})


async def consume(told: Told) -> None:
    """Work until SIGTERM. The ledger and the tallies are the topics of the group's name."""
    topics = Topics(
        annotations=told.annotations,
        evaluations=told.evaluations,
        queue_items=f"{told.group}.queue-items",
        facts=f"{told.group}.facts",
        tallies=f"{told.group}.tallies",
    )
    async with AIOKafkaConsumer(
        bootstrap_servers=told.bootstrap,
        group_id=told.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        max_partition_fetch_bytes=_FETCH_BYTES,
    ) as consumer:
        counts = await partition_counts(KafkaClient([told.bootstrap]).settings)
        await Loop(told, topics, consumer, counts[told.annotations]).run()


if __name__ == "__main__":
    asyncio.run(consume(arguments()))
