"""One simulated worker process: the real engine, and a thin driver that replaces Faust."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from faust.types import TP

from aggregator.policy import Policy
from streams.engine.apply import BatchApplier
from streams.engine.checkpoint import Checkpoint
from streams.engine.engine import Engine, fail_fast
from streams.engine.partition import OwnedPartitions
from streams.engine.restore import Restore
from streams.engine.topic_watch import TopicWatch
from streams.engine.watchdog import Watchdog
from streams.events.decoder import Decoder, MetricDefaults
from streams.kafka.client import KAFKA
from streams.kafka.dead_letters import DeadLetterPublisher
from streams.kafka.record_limits import RecordLimits
from streams.kafka.topic_metadata import TopicMetadata
from streams.kafka.topics import Topics
from streams.runtime.failures import exit_code_of
from streams.runtime.health import Health
from streams.runtime.metrics import WorkerMetrics
from streams.waiting.rebuild import Rebuild
from streams.waiting.waiting import WaitingEvaluations
from tests.simulation.broker import Broker
from tests.simulation.clients import FakeProducer, FakeReader
from tests.simulation.clock import OWNER
from tests.simulation.coordinator import Assignment, Coordinator, MemberGroup, News
from tests.simulation.disks import FakeStore
from tests.simulation.lifeline import Killed, Lifeline

if TYPE_CHECKING:
    from streams.kafka.batches import Batch

TOPICS: Final = Topics()
METRICS: Final = WorkerMetrics("simulation", lambda: ())
"""Shared by all processes: building a registry costs more than a restore here."""
_QUEUED_BATCHES: Final = 4


class Process:
    """A worker process from start to death; `instance` is the name that survives restarts."""

    def __init__(
        self,
        instance: str,
        life: Lifeline,
        *,
        broker: Broker,
        coordinator: Coordinator,
        partitions: int,
        policy: Policy,
        metrics: Mapping[str, MetricDefaults],
        store: FakeStore | None,
        limits: RecordLimits,
    ) -> None:
        self.instance = instance
        self.life = life
        self.policy = policy
        self.draining = False
        self.store = store
        self._broker = broker
        self._coordinator = coordinator
        self._partitions = partitions
        self._flow = False
        self._queue: deque[Batch] = deque()
        self._filled = asyncio.Event()
        self.group = MemberGroup(instance, life, coordinator, broker, TOPICS.sources)
        # Any: they have the parts of aiokafka's classes that the product uses.
        producer: Any = FakeProducer(broker, life)
        reader: Any = FakeReader(broker, life)
        ends_reader: Any = FakeReader(broker, life)
        health, self.owned = Health(), OwnedPartitions()
        decoder = Decoder(metrics)
        self.waiting = None if store is None else self._new_waiting(store, decoder)
        self.rebuild = None
        if self.waiting is not None:
            # Mostly so slow that much happens meanwhile.
            sizes: Sequence[int] = life.rng.choice(((1,), (1, 2), (1, 5, 100)))
            committed_reader: Any = FakeReader(broker, life, committed=reads_committed(), limits=sizes)
            self.rebuild = Rebuild(self.waiting, committed_reader, lambda: self.owned)
        checkpoint = Checkpoint(policy, self.group, METRICS, life.point, health, self.waiting)
        restore = Restore(
            name=life.name,
            topics=TOPICS,
            partitions=partitions,
            policy=policy,
            accept_loss=False,
            capabilities=KAFKA,
            group=self.group,
            producer=producer,
            reader=reader,
            describe=self._describe,
            checkpoint=checkpoint,
            metrics=METRICS,
            on_step=life.point,
            owned=self.owned,
            limits=limits,
            waiting=self.waiting,
        )
        topic_watch = TopicWatch(TOPICS, partitions, self.owned, self._describe)
        watchdog = Watchdog(TOPICS.facts, self.owned, self.group, ends_reader, KAFKA.exact_ends, health)
        self.engine = Engine(
            applier=BatchApplier(TOPICS, partitions, decoder, None, METRICS, waiting=self.waiting),
            dead_letters=DeadLetterPublisher(producer, TOPICS.dead_letters, 1),
            group=self.group,
            health=health,
            metrics=METRICS,
            restore=restore,
            checkpoint=checkpoint,
            watchdog=watchdog,
            topic_watch=topic_watch,
            waiting=self.waiting,
            rebuild=self.rebuild,
        )
        OWNER.set(life)
        try:
            self.engine.start()
            for work in (self._take_part, self._fetch, self._agent, self._commit_timer):
                self._spawn(work)
        finally:
            OWNER.set(None)

    def _new_waiting(self, store: FakeStore, decoder: Decoder) -> WaitingEvaluations:
        store.open()
        return WaitingEvaluations(
            store,
            TOPICS.evaluations,
            decoder,
            store.keep_ms,
            METRICS,
            self.life.rng.choice((3, 40_000)),
            on_step=self.life.point,
        )

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # The task belongs to the lifeline, which keeps it.
        asyncio.get_running_loop().create_task(fail_fast(work))

    async def _describe(self, names: Collection[str]) -> Mapping[str, TopicMetadata]:
        await self.life.request("topics")
        return {name: TopicMetadata(f"id of {name}", self._partitions) for name in names}

    # ---- membership

    async def _take_part(self) -> None:
        while True:
            await asyncio.sleep(self.life.deaf_for())
            await self.life.request("join")
            assignment = await self._coordinator.join(self.instance, self.life)
            await self.life.answer("join")
            if assignment is None:
                self._end_fenced()
            self._start(assignment)
            restoring = asyncio.create_task(self._restore())
            await self._heartbeats()
            self._flow = False
            # What Faust awaits can be cancelled.
            restoring.cancel()
            await self.engine.wait_empty()

    def _start(self, assignment: Assignment) -> None:
        self.life.trace(f"generation {assignment.generation}: partitions {sorted(assignment.partitions)}")
        # Batches of the former generation may still wait for the agent.
        if self.life.rng.random() < 0.1:
            self._queue.clear()
        self.group.assign(assignment)

    async def _restore(self) -> None:
        await self.engine.restore()
        self._flow = True

    async def _heartbeats(self) -> None:
        """Return when partitions must be given up: at a rebalance, or when membership is lost."""
        while True:
            await asyncio.sleep(0.5 * (1.0 + self.life.rng.random()))
            await self.life.answer("heartbeat due")
            if self.life.deaf_for() > 0:
                continue
            news = self._coordinator.heartbeat(self.instance, self.life)
            await self.life.answer("heartbeat")
            if news is News.FENCED:
                self._end_fenced()
            if news is not News.STABLE:
                self.group.member = news is News.REBALANCE
                return

    def _end_fenced(self) -> NoReturn:
        self.life.trace("fenced by another process of its name")
        self.life.kill()
        raise Killed

    # ---- batches

    async def _fetch(self) -> None:
        while True:
            await asyncio.sleep(0.02 if self._queue else 0.5)
            waiting = [tp for tp, start in self.group.positions.items() if self._broker.partitions[tp].end > start]
            for tp in self.group.positions.keys() - waiting if self._flow else ():
                self.group.fetched(tp, self._broker.partitions[tp].end)
            self.life.rng.shuffle(waiting)
            for tp in waiting:
                if self._flow and len(self._queue) < _QUEUED_BATCHES and tp in self.group.positions:
                    await self._fetch_from(tp)

    async def _fetch_from(self, tp: TP) -> None:
        group, life = self.group, self.life
        start, generation = group.positions[tp], group.seen
        await life.request("fetch")
        batch = self._broker.batch(tp, start, life.rng.choice((1, 2, 5, 50)), generation)
        group.fetched(tp, self._broker.partitions[tp].end)
        await life.answer("fetch")
        # The reply to a fetch from before a rebalance or a seek is dropped.
        if batch is not None and self._flow and group.seen == generation and group.positions.get(tp) == start:
            group.positions[tp] = batch.next
            self._queue.append(batch)
            self._filled.set()

    async def _agent(self) -> None:
        while True:
            while not self._queue:
                self._filled.clear()
                await self._filled.wait()
            if self.life.rng.random() < 0.4:
                await asyncio.sleep(self.life.rng.choice((0.01, 0.1, 1.0)))
            await self.life.request("message")
            if self._queue:
                await self.engine.apply(self._queue.popleft())

    async def _commit_timer(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self.group.commit_pending()

    def flush(self) -> None:
        """Let a flush be due."""
        if self.waiting is not None:
            self.waiting._due.set()

    # ---- what it has

    def has_written(self, item: str) -> bool:
        """Whether an item is known, and the ledger has everything that this process has."""
        written = not self.writes_a_checkpoint and not any(owned.shard.dirty for owned in self.owned)
        return written and any(owned.shard.has_item(item) for owned in self.owned)

    @property
    def writes_a_checkpoint(self) -> bool:
        """Whether a checkpoint is on its way."""
        return self.engine._health.checkpoint_since is not None

    @property
    def mark(self) -> int:
        """Of its store: see `WaitingEvaluations.mark`."""
        return 0 if self.waiting is None else self.waiting.mark

    # ---- what it still has to do

    def closed(self) -> list[int]:
        """The partitions in which nothing is to be rebuilt, adopted or written."""
        owed = self.owed()
        return [
            owned.partition
            for owned in self.owned
            if owned.ready and not owned.changed and not owned.shard.dirty and owned.partition not in owed
        ]

    def owed(self) -> Mapping[int, str]:
        """By partition, what is to be rebuilt or adopted."""
        if self.waiting is None or self.rebuild is None:
            return {}
        left = {partition: f"{count} offsets" for partition, count in self.rebuild.left().items() if count}
        owes = {owned.partition: "adopts" for owned in self.owned if owned.waiting is not None and owned.waiting.owes}
        away = {owned.partition: f"store: {self.waiting.store.away}" for owned in self.owned if self.waiting.store.away}
        return left | owes | away

    # ---- the end

    def drain(self) -> None:
        """SIGTERM: the last checkpoint and commit, then the end."""
        self.draining = True
        OWNER.set(self.life)
        try:
            self._spawn(self._drain)
        finally:
            OWNER.set(None)

    async def _drain(self) -> None:
        self._flow = False
        await self.engine.stop()
        self.life.trace("drained")
        self.life.kill()


def reads_committed() -> bool:
    """Whether a rebuild reads what is committed only."""
    return True


def end_process(error: BaseException) -> None:
    """Replaces `streams.runtime.failures.end_process`: the simulated process ends, not this one."""
    life = cast("Lifeline", OWNER.get())
    if life.alive:
        life.ended = exit_code_of(error), f"{type(error).__name__}: {error}"
        life.trace(f"ends: {life.ended[0].name}: {life.ended[1]}")
        life.kill()
    raise Killed


class NoHeapFreezer:
    """Replaces `streams.runtime.heap.HeapFreezer`: a simulated process has no heap of its own."""

    def count(self, rows: int) -> None:
        """Collect nothing."""
