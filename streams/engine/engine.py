"""The engine: applies batches to shards, and drives restores, checkpoints and the fence.

Everything runs on one event loop. Batches are applied synchronously between awaits, and not to a partition that is
frozen, so a checkpoint drains rows, tallies and positions of the same moment. One lock keeps restores, checkpoints and
the fence apart.
"""

import asyncio
import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from math import inf
from operator import attrgetter
from typing import Any, Final

from aiokafka.errors import KafkaError

from streams.engine.apply import BatchApplier
from streams.engine.audit import Audit
from streams.engine.checkpoint import Checkpoint
from streams.engine.completeness import Now
from streams.engine.pace import TallyPace
from streams.engine.partition import OwnedPartition
from streams.engine.pause import PauseReport
from streams.engine.progress import ranges
from streams.engine.restore import AssignmentChanged, Restore
from streams.engine.topic_watch import TopicWatch
from streams.engine.watchdog import Watchdog
from streams.kafka.batches import Batch
from streams.kafka.dead_letters import DeadLetterPublisher, RejectedRecord
from streams.kafka.group import ConsumerGroup
from streams.runtime.chunks import Chunks
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError, end_process
from streams.runtime.health import Health
from streams.runtime.heap import HeapFreezer
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.slices import emptying, run_in_slices
from streams.waiting.gauges import update_gauges
from streams.waiting.rebuild import Rebuild
from streams.waiting.waiting import WaitingEvaluations

_log = logging.getLogger(__name__)

CHECKPOINT_SECONDS: Final = 0.05
"""Time from one drain to the next."""
SETTLE_SECONDS: Final = 0.005
"""Least time from the first event to its checkpoint, so that the events fetched with it are in the same one."""
MAX_DIRTY_ROWS: Final = 40_000
"""Dirty rows above which the next checkpoint is due, and no further event is applied before it."""
MAX_UNCOUNTED: Final = 500_000
"""Rows of items with changed placements above which these are counted before the next event: a checkpoint that had to
count more would hold up the events of all partitions for too long.
"""
IDLE_MARKER_SECONDS: Final = 5.0
"""Time without a checkpoint after which an idle partition gets one, so that readers see that it is alive."""
BATCH_END_SECONDS: Final = 5.0
"""How long the end of a generation waits for the batch in progress."""
LAST_FLUSH_SECONDS: Final = 4.0
"""How long it waits until the store of waiting evaluations is durable. What it lacks then is read again."""
OWED_SECONDS: Final = 0.1
"""Time between two looks for what is owed."""
EXPIRE_SECONDS: Final = 60.0
"""Time between two looks for waiting evaluations that are too old."""
GAUGE_SECONDS: Final = 5.0
"""Time between two updates of the gauges of waiting evaluations."""
LIVE_SECONDS: Final = 0.1
"""Live events that come within this time of each other do not end between them."""
REOPEN_SECONDS: Final = 5.0
"""Time between two attempts to open the store of waiting evaluations."""


class Engine:
    """All partitions of one worker.

    The transport calls `apply` with every batch, `restore` after every assignment and `wait_empty` before the
    assignment ends. Any failure ends the process.
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
        topic_watch: TopicWatch | None = None,
        audit: Audit | None = None,
        waiting: WaitingEvaluations | None = None,
        rebuild: Rebuild | None = None,
    ) -> None:
        self._waiting = waiting
        self._rebuild = rebuild
        self._applier = applier
        self._chunks = Chunks()
        self._dead_letters = dead_letters
        self._group = group
        self._health = health
        self._metrics = metrics
        self._restore = restore
        self._checkpoint = checkpoint
        self._watchdog = watchdog
        self._topic_watch = topic_watch
        self._audit = audit
        self._pause = PauseReport(health, metrics)
        self._pace = TallyPace(time.monotonic)
        self._owned = restore.owned
        health.delayed = lambda: self._pace.delayed(self._owned)
        self._suspended = False
        self._stopped = False
        self._lock = asyncio.Lock()
        self._work = asyncio.Event()
        self._urgent = asyncio.Event()
        self._batch_done = asyncio.Event()
        self._batch_done.set()
        self._batch_ended = -inf
        """When the last batch was applied, by `time.monotonic`."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Start the tasks that only `stop` cancels: checkpoints, watchdogs, audit, and the log of rejections."""
        self._spawn(self._checkpoints)
        self._spawn(self._applier.rejections.run)
        self._spawn(lambda: self._watchdog.run(self._lock))
        if (topic_watch := self._topic_watch) is not None:
            self._spawn(topic_watch.run)
        if (audit := self._audit) is not None:
            self._spawn(lambda: audit.run(self._lock))
        if (waiting := self._waiting) is not None:
            self._spawn(waiting.flush_when_due)
            self._spawn(lambda: _every(lambda: EXPIRE_SECONDS, waiting.expire))
            self._spawn(lambda: _every(lambda: REOPEN_SECONDS, waiting.reopen))
            self._spawn(lambda: self._work_off(waiting))
            self._spawn(waiting.seal_when_due)
        if (rebuild := self._rebuild) is not None:
            rebuild.busy = self._is_live
            self._spawn(rebuild.run)
            self._spawn(lambda: _every(lambda: GAUGE_SECONDS, lambda: update_gauges(rebuild.waiting, rebuild)))

    async def stop(self) -> None:
        """Write and commit the last checkpoint. Afterwards no event is processed, even in a new generation."""
        self._stopped = True
        await self.wait_empty()
        async with self._lock:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._waiting is not None:
                await self._waiting.close()

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> "asyncio.Task[None]":
        task = asyncio.create_task(fail_fast(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- assignment

    async def restore(self) -> None:
        """Restore the current assignment, in a task of its own because Faust may cancel what it awaits."""
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
                    # The rows that its checkpoint drained may not be written: read these shards from the ledgers again.
                    self._owned.drop_all()
                _log.info("generation %d ended during its restore", generation)
                return
            self._begin_generation(generation)

    def _begin_generation(self, generation: int) -> None:
        self._owned.begin_generation(generation)
        self._health.restored = True
        self._metrics.recovering.set(0)
        _log.info(
            "generation %d: %d partitions restored, %d rows",
            generation,
            len(self._owned),
            self._owned.rows,
            extra={"partitions": ranges(owned.partition for owned in self._owned)},
        )

    async def wait_empty(self) -> None:
        """Finish the batch in progress, checkpoint and commit: before partitions are revoked or the worker stops."""
        self._suspended = True
        # A batch in progress may wait for a checkpoint, which is not delayed any more.
        self._work.set()
        self._urgent.set()
        await asyncio.shield(self._spawn(self._end_generation))

    async def _end_generation(self) -> None:
        if not await _set_within(self._batch_done, BATCH_END_SECONDS):
            _log.warning("batch in progress abandoned: the next owner of its partition processes it again")
        async with self._lock:
            self._health.restored = False
            self._metrics.recovering.set(1)
            changed = self._owned.end_generation()
            if changed is not None:
                await self._checkpoint(changed)
                if not await self._group.commit_pending():
                    _log.info("the group refused the last commit: the uncommitted events are processed again")
                await self._flush_last()
            self._group.forget()

    async def _flush_last(self) -> None:
        """Make what waits durable before the partitions are given up."""
        if self._waiting is not None:
            _, late = await asyncio.wait([self._spawn(self._waiting.flush)], timeout=LAST_FLUSH_SECONDS)
            if late:
                _log.warning(
                    "the store of waiting evaluations is not durable in time: its next owner reads the rest again"
                )

    # ---- batches

    async def apply(self, batch: Batch) -> None:
        """Apply one batch to its shard. Its position moves once its dead letters are acknowledged."""
        try:
            await self._apply(batch)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 -- every failure ends the process
            end_process(error)

    async def _apply(self, batch: Batch) -> None:
        owned = self._owned.get(batch.partition)
        if self._suspended or owned is None or not self._takes(owned, batch):
            # Nothing is lost: every assignment starts at the committed offsets.
            return
        if batch.corrupt is not None:
            await self._give_up_corrupt(owned, batch)
            return
        # A gap in what was counted before loses nothing: the topic's retention goes on while it is processed again.
        expected = owned.expected(batch.topic)
        if batch.start > expected and not self._applier.paused:
            raise FatalError(
                ExitCode.INPUT_LOST,
                f"{batch.topic}[{batch.partition}]: expected offset {expected}, the broker continues at {batch.start}",
            )
        self._batch_done.clear()
        try:
            for part in _split(batch, owned.seen_before.get(batch.topic, 0)):
                if self._takes(owned, part):
                    await self._apply_part(owned, part)
        finally:
            self._batch_done.set()
            self._batch_ended = time.monotonic()

    def _is_live(self) -> bool:
        """Whether live events come: between two small batches none waits, and the next one would."""
        return not self._batch_done.is_set() or time.monotonic() - self._batch_ended < LIVE_SECONDS

    def _takes(self, owned: OwnedPartition, batch: Batch) -> bool:
        """Whether a batch may change its partition; asked after every await. Not after its generation: the shard may be
        in a restore then, or another worker's. And not in quarantine.
        """
        return owned.ready and self._owned.generation == batch.generation

    async def _apply_part(self, owned: OwnedPartition, batch: Batch) -> None:
        mark = None if self._waiting is None else self._waiting.mark
        rejected = None if self._applier.paused else await self._apply_records(owned, batch)
        if rejected is None:
            await self._look(owned, batch)
            return
        if rejected:
            await self._dead_letters.publish(rejected)
        if not self._takes(owned, batch):
            return
        first, last = (batch.records[0].timestamp, batch.records[-1].timestamp) if batch.records else (None, None)
        owned.processed(batch.topic, batch.next, first, last)
        if self._waiting is not None and owned.waiting is not None and mark is not None:
            self._waiting.processed(owned.waiting, batch, mark)
        self._work.set()

    async def _give_up_corrupt(self, owned: OwnedPartition, batch: Batch) -> None:
        """Put a partition in quarantine whose source is corrupt on the broker's disk.

        What was processed before is written first. No event is lost, because no position moves past the corrupt bytes.
        """
        async with self._lock:
            if not self._takes(owned, batch):
                return
            if owned.changed:
                await self._checkpoint([owned])
            remedy = "Restore the broker's log, for example from a replica, and restart the worker: it reads on"
            owned.quarantine(f"{batch.corrupt}. {remedy}")

    async def _apply_records(self, owned: OwnedPartition, batch: Batch) -> list[RejectedRecord] | None:
        """Apply events in chunks; returns the rejected ones, and None if the circuit breaker opens."""
        rejected: list[RejectedRecord] = []
        await owned.thawed()
        for records in self._chunks.of(batch.records):
            if not self._takes(owned, batch):
                break
            rejected += self._applier.apply(owned, batch.topic, records, self._chunks)
            self._chunks.handled()
            if self._applier.paused and not owned.shard.full():
                return None
            owned.applied()
            if owned.shard.full():
                break
            self._work.set()
            while self._takes(owned, batch) and self._owned.dirty_rows >= MAX_DIRTY_ROWS:
                self._urgent.set()
                await self._checkpoint.next_drain()
            if owned.shard.uncounted >= MAX_UNCOUNTED:
                # A checkpoint would count them too, and may be delayed.
                async with self._lock:
                    if self._takes(owned, batch):
                        with owned.freeze():
                            await run_in_slices(owned.settling())
            if self._waiting is not None and self._waiting.full:
                await self._waiting.room()
            await asyncio.sleep(0)
            await owned.thawed()
        return rejected

    async def _look(self, owned: OwnedPartition, batch: Batch) -> None:
        """See what of a batch would be rejected, while the circuit breaker is open.

        Nothing is processed: positions do not move, and no dead letter is sent. The worker keeps its membership and
        commits what it had processed.
        """
        assert self._applier.circuit_breaker is not None, "only a circuit breaker pauses"
        topic = batch.topic
        following = owned.held.looked.get(topic, owned.positions[topic])
        if self._takes(owned, batch) and batch.start <= following < batch.next:
            rejected: list[RejectedRecord] = []
            for records in self._chunks.of([record for record in batch.records if record.offset >= following]):
                rejected += self._applier.look(owned, topic, records, self._chunks)
                self._chunks.handled()
                await asyncio.sleep(0)
            if self._takes(owned, batch):
                owned.saw(topic, batch.next, rejected)
                self._work.set()
        self._pause.update(self._applier.circuit_breaker, self._owned)

    # ---- waiting evaluations

    async def _work_off(self, waiting: WaitingEvaluations) -> None:
        """Look up and merge what is owed, until cancelled."""
        while True:
            worked = False
            for owned in self._owned:
                part = owned.waiting
                if part is not None and owned.ready and not owned.frozen and part.owes and waiting.work_off(part):
                    owned.applied()
                    self._work.set()
                    worked = True
                    await asyncio.sleep(0)
            if not worked:
                await asyncio.sleep(OWED_SECONDS)

    # ---- checkpoints

    async def _checkpoints(self) -> None:
        """Checkpoint every 50 ms while there are changes, immediately when many rows are dirty, and when idle.

        A partition whose tallies are large waits longer (`pace`).
        """
        heap = HeapFreezer()
        drained_at = 0.0
        while True:
            await _set_within(self._work, min([1.0, *self._pace.delayed(self._owned).values()]))
            self._work.clear()
            await _set_within(self._urgent, max(SETTLE_SECONDS, drained_at + CHECKPOINT_SECONDS - time.monotonic()))
            self._urgent.clear()
            async with self._lock:
                if self._owned.dirty_rows >= MAX_DIRTY_ROWS and (delayed := self._pace.delayed(self._owned)):
                    await self._append_rows([owned for owned in self._owned if owned.partition in delayed])
                if due := self._due():
                    drained_at = time.monotonic()
                    await self._write(due)
                    heap.count(int(self._owned.rows + self._owned.tallies))

    async def _write(self, due: Sequence[OwnedPartition]) -> None:
        written = await self._checkpoint(due)
        self._pace.wrote(written)
        for one in written:
            await run_in_slices(emptying(one.tallies))

    async def _append_rows(self, partitions: Sequence[OwnedPartition]) -> None:
        """Write the rows of partitions whose tallies wait: the events of all others would wait for them."""
        for owned, rows in zip(partitions, await self._checkpoint.append_rows(partitions), strict=True):
            self._pace.appended(owned, rows)

    def _due(self) -> list[OwnedPartition]:
        """Partitions to checkpoint: with changes, idle ones, and those that have caught up since their last marker."""
        due = self._owned.due(idle_since=time.monotonic() - IDLE_MARKER_SECONDS)
        now = Now.read()
        late = [owned for owned in self._owned if owned.ready and owned.behind is not None and owned not in due]
        due += [owned for owned in late if self._checkpoint.observe(owned, now) is None]
        return [owned for owned in due if self._suspended or not self._pace.wait(owned)]


async def fail_fast(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a task whose failure ends the process."""
    try:
        await work()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 -- every failure ends the process
        end_process(error)


async def _every(seconds: Callable[[], float], work: Callable[[], None]) -> None:
    """Do something from time to time, until cancelled."""
    while True:
        await asyncio.sleep(seconds())
        work()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event was set in time. `asyncio.wait_for` may swallow a cancellation before Python 3.12."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _split(batch: Batch, offset: int) -> Iterator[Batch]:
    """Split a batch at an offset: what a circuit breaker saw before a restart moves its position by itself."""
    if batch.start < offset < batch.next:
        first = bisect_left(batch.records, offset, key=attrgetter("offset"))
        yield replace(batch, next=offset, records=batch.records[:first])
        yield replace(batch, start=offset, records=batch.records[first:])
    else:
        yield batch
