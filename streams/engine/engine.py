"""The engine: folds batches into shards, and drives restore, checkpoints and the fence around them.

Everything runs on one event loop. Folding is synchronous between awaits, so a checkpoint takes rows, tallies and
positions of one moment. One lock keeps restore, checkpoints, the fence and the last checkpoint of an assignment apart.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final

from aiokafka.errors import KafkaError

from streams.engine.apply import BatchApplier
from streams.engine.audit import Audit
from streams.engine.checkpoint import Checkpoint
from streams.engine.partition import OwnedPartition
from streams.engine.restore import AssignmentChanged, Restore
from streams.engine.watchdog import Watchdog
from streams.kafka.batches import Batch, Record
from streams.kafka.dead_letters import DeadLetterPublisher, RejectedRecord
from streams.kafka.group import ConsumerGroup
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError, end_process
from streams.runtime.health import Health
from streams.runtime.heap import HeapFreezer
from streams.runtime.metrics import WorkerMetrics

_log = logging.getLogger(__name__)

CHECKPOINT_SECONDS: Final = 0.05
"""From one taking to the next."""
SETTLE_SECONDS: Final = 0.005
"""After the first event in a while: what was fetched with it comes along."""
MAX_DIRTY_ROWS: Final = 40_000
IDLE_MARKER_SECONDS: Final = 5.0
FOLD_AT_ONCE: Final = 2000
FOLD_END_SECONDS: Final = 5.0


class Engine:
    """All partitions of one worker.

    The transport calls `fold` with every batch, `restore` after every assignment and `wait_empty` before it ends. Any
    failure ends the process.
    """

    def __init__(
        self,
        *,
        applier: BatchApplier,
        dead_letters: DeadLetterPublisher,
        group: ConsumerGroup,
        health: Health,
        metrics: WorkerMetrics,
        restore: Restore,
        checkpoint: Checkpoint,
        watchdog: Watchdog,
        audit: Audit | None = None,
    ) -> None:
        self._applier = applier
        self._dead_letters = dead_letters
        self._group = group
        self._health = health
        self._metrics = metrics
        self._restore = restore
        self._checkpoint = checkpoint
        self._watchdog = watchdog
        self._audit = audit
        self._owned = restore.owned
        self.generation: int | None = None
        self._suspended = False
        self._stopped = False
        self._lock = asyncio.Lock()
        self._work = asyncio.Event()
        self._urgent = asyncio.Event()
        self._folded = asyncio.Event()
        self._folded.set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Start checkpoints, fence, watchdog and audit: tasks of their own, which nobody cancels half-way."""
        self._spawn(self._checkpoints)
        self._spawn(lambda: self._watchdog.run(self._lock))
        if (audit := self._audit) is not None:
            self._spawn(lambda: audit.run(self._lock))

    async def stop(self) -> None:
        """The last checkpoint and commit; afterwards nothing is processed any more, whatever the group does."""
        self._stopped = True
        await self.wait_empty()
        async with self._lock:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> "asyncio.Task[None]":
        task = asyncio.create_task(guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- assignment

    async def restore(self) -> None:
        """Restore the current assignment. What Faust awaits can be cancelled: the work goes on in a task of its own."""
        await asyncio.shield(self._spawn(self._restore_assignment))

    async def _restore_assignment(self) -> None:
        generation = self._group.generation()
        self._suspended = self._stopped

        def moved() -> bool:
            return self._suspended or self._group.generation() != generation

        async with self._lock:
            try:
                await self._restore(moved)
            except (AssignmentChanged, KafkaError) as error:
                if not moved():
                    raise
                if not isinstance(error, AssignmentChanged):
                    # What its checkpoint took may not be written: these shards are made again from their ledgers.
                    self._owned.clear()
                _log.info("generation %d ended while it was being restored", generation)
                return
            self._start_generation(generation)

    def _start_generation(self, generation: int) -> None:
        self.generation = generation
        for owned in self._owned.values():
            owned.ready = True
        self._health.restored = True
        self._metrics.recovering.set(0)
        rows = sum(owned.shard.rows for owned in self._owned.values())
        _log.info("generation %d: %d partitions restored, %d rows", generation, len(self._owned), rows)

    async def wait_empty(self) -> None:
        """Before partitions are revoked and before the worker stops: finish, checkpoint, commit."""
        self._suspended = True
        await asyncio.shield(self._spawn(self._end_generation))

    async def _end_generation(self) -> None:
        if not await _set_within(self._folded, FOLD_END_SECONDS):
            _log.warning("the batch under way is left: it is processed again by whoever owns its partition next")
        async with self._lock:
            generation, self.generation = self.generation, None
            self._health.restored = False
            self._metrics.recovering.set(1)
            if generation is not None:
                await self._checkpoint([owned for owned in self._owned.values() if owned.ready and owned.changed])
                if not await self._group.commit_pending():
                    _log.info("the group moved on before the last commit: what it had is processed again")
            for owned in self._owned.values():
                owned.ready = False
            self._group.forget()

    # ---- batches

    async def fold(self, batch: Batch) -> None:
        """Fold one batch into its shard. Its position moves once its dead letters are acknowledged."""
        try:
            await self._fold(batch)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 whatever it is, it ends the process
            end_process(error)

    async def _fold(self, batch: Batch) -> None:
        owned = self._owned.get(batch.partition)
        generation = self.generation
        if self._suspended or owned is None or not owned.ready or batch.generation != generation:
            # Safe: every assignment seeks to what was committed.
            return
        expected = owned.positions[batch.topic]
        if batch.start > expected:
            raise FatalError(
                ExitCode.INPUT_LOST,
                f"{batch.topic}[{batch.partition}]: expected offset {expected}, the broker's next one is {batch.start}",
            )
        self._folded.clear()
        try:
            rejected = await self._fold_records(owned, batch)
            if rejected:
                await self._dead_letters.publish(rejected)
        finally:
            self._folded.set()
        if self.generation != generation:
            return
        # A batch from before the position is a replay; merging ignored it.
        owned.positions[batch.topic] = max(expected, batch.next)
        if batch.records:
            owned.waiting.append(batch.records[0].timestamp)
        self._note_work(owned)

    async def _fold_records(self, owned: OwnedPartition, batch: Batch) -> list[RejectedRecord]:
        """Fold a few thousand events at a time; returns what was rejected. Does not return when the circuit breaker opens."""
        rejected: list[RejectedRecord] = []
        for records in _chunks(batch.records):
            rejected += self._applier.fold(owned, batch.topic, records)
            if self._applier.open_reason is not None:
                await self._pause(self._applier.open_reason)
            self._note_work(owned)
            while sum(len(each.shard.dirty) for each in self._owned.values()) >= MAX_DIRTY_ROWS:
                self._urgent.set()
                await self._checkpoint.next_drain()
            await asyncio.sleep(0)
        return rejected

    async def _pause(self, why: str) -> None:
        """The circuit breaker is open: wait for an operator. Membership, metrics and commits of what is done go on."""
        self._health.circuit_breaker = why
        self._metrics.circuit_breaker_open.set(1)
        _log.error(
            "the circuit breaker is open: %s. This worker processes nothing until it is restarted; nothing of this batch was "
            "committed or sent to the dead letters. Fix the producer or the settings and restart, or restart with "
            "`--circuit-breaker off` to let the bad events become dead letters",
            why,
        )
        self._folded.set()
        await asyncio.Event().wait()

    def _note_work(self, owned: OwnedPartition) -> None:
        owned.changed = True
        self._work.set()

    # ---- checkpoints and the fence

    async def _checkpoints(self) -> None:
        """A checkpoint every 50 ms while there is something, at once when many rows are dirty, and when idle."""
        rows = HeapFreezer()
        drained_at = 0.0
        while True:
            await _set_within(self._work, 1.0)
            self._work.clear()
            await _set_within(self._urgent, max(SETTLE_SECONDS, drained_at + CHECKPOINT_SECONDS - time.monotonic()))
            self._urgent.clear()
            async with self._lock:
                if self.generation is not None:
                    idle_since = time.monotonic() - IDLE_MARKER_SECONDS
                    due = [
                        owned
                        for owned in self._owned.values()
                        if owned.ready and (owned.changed or owned.marked_at <= idle_since)
                    ]
                    if due:
                        drained_at = time.monotonic()
                        await self._checkpoint(due)
                        rows.count(sum(owned.shard.rows for owned in self._owned.values()))


async def guarded(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run work whose failure ends the process."""
    try:
        await work()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 whatever it is, it ends the process
        end_process(error)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether it was set in time. Not by `asyncio.wait_for`, which before Python 3.12 may swallow a cancellation."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _chunks(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    for start in range(0, len(records), FOLD_AT_ONCE):
        yield records[start : start + FOLD_AT_ONCE]
