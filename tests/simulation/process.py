"""One simulated worker process: the real engine, and a thin driver that does for it what Faust does."""

import asyncio
from collections import deque
from typing import Any, Final, cast

from aggregator.shard import Policy
from streams.checkpoint import Checkpoint
from streams.client import KAFKA
from streams.dead_letters import DeadLetters
from streams.engine import Engine, guarded
from streams.events import Decoder
from streams.failures import failure_of
from streams.fetching import Batch
from streams.folding import Folder
from streams.guard import Guard
from streams.health import Health
from streams.metrics import WorkerMetrics
from streams.owned import Owned
from streams.restore import Restore
from streams.topics import Topics
from tests.simulation.broker import Broker
from tests.simulation.clients import FakeProducer, FakeReader
from tests.simulation.clock import OWNER
from tests.simulation.coordinator import Assignment, Coordinator, MemberGroup, News
from tests.simulation.lifeline import Killed, Lifeline

TOPICS: Final = Topics()
METRICS: Final = WorkerMetrics("simulation", lambda: ())
"""Of all processes: building a registry costs more than a restore here."""
_QUEUED_BATCHES: Final = 4


class Process:
    """A worker process from start to death; `instance` is the name that survives restarts."""

    def __init__(
        self, instance: str, life: Lifeline, broker: Broker, coordinator: Coordinator, partitions: int, policy: Policy
    ) -> None:
        self.instance = instance
        self.life = life
        self.policy = policy
        self.draining = False
        self._broker = broker
        self._coordinator = coordinator
        self._flow = False
        self._queue: deque[Batch] = deque()
        self._filled = asyncio.Event()
        self.group = MemberGroup(instance, life, coordinator, broker, TOPICS.sources)
        producer, reader, ends_reader = (
            FakeProducer(broker, life), FakeReader(broker, life), FakeReader(broker, life)
        )  # fmt: skip
        health, owned = Health(), dict[int, Owned]()
        checkpoint = Checkpoint(policy, self.group, METRICS, life.point)
        restore = Restore(
            name=life.name,
            topics=TOPICS,
            partitions=partitions,
            policy=policy,
            accept_loss=False,
            capabilities=KAFKA,
            group=self.group,
            producer=cast("Any", producer),
            reader=cast("Any", reader),
            checkpoint=checkpoint,
            metrics=METRICS,
            on_step=life.point,
            owned=owned,
        )
        guard = Guard(
            TOPICS.facts, owned, self.group, cast("Any", ends_reader), KAFKA.exact_ends, health, restore
        )
        self.engine = Engine(
            folder=Folder(TOPICS, partitions, Decoder(), None, METRICS),
            dead_letters=DeadLetters(cast("Any", producer), TOPICS.dead_letters, 1),
            group=self.group,
            health=health,
            metrics=METRICS,
            restore=restore,
            checkpoint=checkpoint,
            guard=guard,
        )
        OWNER.set(life)
        try:
            self.engine.start()
            for work in (self._take_part(), self._fetch(), self._agent(), self._commit_timer()):
                asyncio.create_task(guarded(work))
        finally:
            OWNER.set(None)

    # ---- membership

    async def _take_part(self) -> None:
        while True:
            await self.life.request("join")
            while self.life.deaf:
                await asyncio.sleep(0.2)
            assignment = await self._coordinator.join(self.instance, self.life)
            await self.life.answer("join")
            self._start(assignment)
            restoring = asyncio.create_task(self._restore())
            await self._heartbeats()
            self._flow = False
            # What Faust awaits can be cancelled.
            restoring.cancel()
            await self.engine.wait_empty()

    def _start(self, assignment: Assignment) -> None:
        self.life.trace(f"generation {assignment.generation}: partitions {sorted(assignment.partitions)}")
        # Batches of before may still wait for the agent.
        if self.life.rng.random() < 0.5:
            self._queue.clear()
        self.group.assign(assignment)

    async def _restore(self) -> None:
        await self.engine.restore()
        self._flow = True

    async def _heartbeats(self) -> None:
        """Returns when partitions are to be given up: a rebalance, or membership is gone."""
        while True:
            await asyncio.sleep(0.5 * (1.0 + self.life.rng.random()))
            await self.life.answer("heartbeat due")
            if self.life.deaf:
                continue
            news = self._coordinator.heartbeat(self.instance, self.life)
            await self.life.answer("heartbeat")
            if news is News.FENCED:
                self.life.trace("fenced by another process of its name")
                self.life.kill()
                raise Killed
            if news is not News.STABLE:
                self.group.member = news is News.REBALANCE
                return

    # ---- batches

    async def _fetch(self) -> None:
        rng, group, life = self.life.rng, self.group, self.life
        while True:
            await asyncio.sleep(0.01 if self._queue else 0.2)
            waiting = [tp for tp, start in group.positions.items() if self._broker.partitions[tp].end > start]
            rng.shuffle(waiting)
            for tp in waiting:
                if not self._flow or len(self._queue) >= _QUEUED_BATCHES:
                    break
                start, generation = group.positions.get(tp), group.seen
                if start is None:
                    break
                await life.request("fetch")
                batch = self._broker.batch(tp, start, rng.choice((1, 2, 5, 50)), generation)
                group.fetched(tp, self._broker.partitions[tp].end)
                await life.answer("fetch")
                if batch is None or not self._flow or group.seen != generation or group.positions.get(tp) != start:
                    continue
                group.positions[tp] = batch.next
                self._queue.append(batch)
                self._filled.set()

    async def _agent(self) -> None:
        while True:
            while not self._queue:
                self._filled.clear()
                await self._filled.wait()
            if self.life.rng.random() < 0.3:
                await asyncio.sleep(self.life.rng.choice((0.01, 0.1, 1.0)))
            await self.life.request("message")
            if self._queue:
                await self.engine.fold(self._queue.popleft())

    async def _commit_timer(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self.group.commit_pending()

    # ---- the end

    def drain(self) -> None:
        """SIGTERM: the last checkpoint and commit, then the end."""
        self.draining = True
        OWNER.set(self.life)
        try:
            asyncio.create_task(guarded(self._drain()))
        finally:
            OWNER.set(None)

    async def _drain(self) -> None:
        self._flow = False
        await self.engine.stop()
        self.life.trace("drained")
        self.life.kill()


def end_process(error: BaseException) -> None:
    """In place of `streams.failures.end_process`: the simulated process ends, not this one."""
    life = cast("Lifeline", OWNER.get())
    if life.alive:
        life.ended = failure_of(error), f"{type(error).__name__}: {error}"
        life.trace(f"ends: {life.ended[0].name}: {life.ended[1]}")
        life.kill()
    raise Killed


class NoRows:
    """In place of `streams.garbage.Rows`: a simulated process has no heap of its own."""

    def count(self, rows: int) -> None:
        """Nothing to collect."""
