"""Faults inside a worker process of the rig; SIGUSR1 starts them."""

import asyncio
import gc
import logging
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import faust
import orjson
import rocksdict
from aiokafka.consumer.group_coordinator import GroupCoordinator

from aggregator.facts import Evaluation
from streams.engine import engine, topic_watch
from streams.engine.checkpoint import Checkpoint
from streams.engine.engine import Engine
from streams.kafka.batches import Batch
from streams.kafka.transport import BatchConsumer
from streams.ledger import claim
from streams.ledger.log import LogRow
from streams.runtime import heap
from streams.runtime.failures import end_process
from streams.waiting import spans, waiting
from streams.waiting.partition import WaitingPartition
from streams.waiting.waiting import WaitingEvaluations
from streams.worker import Worker


def commits_freeze(_: Worker) -> Callable[[], None]:
    """No commit is ever answered again."""
    commit_offsets = BatchConsumer._commit_offsets
    frozen: list[bool] = []

    async def frozen_commit(self: BatchConsumer, *args: Any, **how: Any) -> bool:
        if frozen:
            await asyncio.Event().wait()
        return await commit_offsets(self, *args, **how)

    setattr(BatchConsumer, "_commit_offsets", frozen_commit)  # noqa: B010 mypy knows no other way
    return lambda: frozen.append(True)


def membership_ends(worker: Worker) -> Callable[[], None]:
    """The coordinator forgets the member and never answers when it joins again; its task lives on."""
    coordinator: Any = GroupCoordinator
    rejoin = coordinator._do_rejoin_group
    gone: list[bool] = []

    async def unanswered(self: GroupCoordinator, *args: Any) -> Any:
        if gone:
            await asyncio.Event().wait()
        return await rejoin(self, *args)

    def begin() -> None:
        gone.append(True)
        assert worker._progress is not None
        consumer: Any = worker._progress._group._consumer.batches._consumer
        consumer._coordinator.reset_generation()

    coordinator._do_rejoin_group = unanswered
    return begin


def topics_are_watched_often(_: Worker) -> Callable[[], None]:
    """Changes of topics are looked for every second, from the start on."""
    topic_watch.WATCH_SECONDS = 1.0  # type: ignore[misc]
    return lambda: None


def memory_goes_bad(worker: Worker) -> Callable[[], None]:
    """One count in memory changes without a trace."""

    def begin() -> None:
        criteria = (counts for owned in worker._owned for counts in owned.shard.counts._criteria.values())
        next(day for counts in criteria for day in counts.days.values()).annotations += 1

    return begin


def publishes_wrong(_: Worker) -> Callable[[], None]:
    """The next tally of annotations is published with one too many."""
    tallies = Checkpoint._tallies
    due: list[bool] = []

    def wrong(self: Checkpoint, part: Any) -> Iterator[LogRow]:
        for key, value in tallies(self, part):
            if due and key.startswith(b'["annotations"'):
                due.clear()
                payload = orjson.loads(value or b"")
                payload["annotations"] += 1
                yield key, orjson.dumps(payload)
            else:
                yield key, value

    setattr(Checkpoint, "_tallies", wrong)  # noqa: B010 mypy knows no other way
    return lambda: due.append(True)


def the_end_hangs(_: Worker) -> Callable[[], None]:
    """Faust waits for its thread forever when it stops, and blocks the loop."""

    async def hangs(_: faust.Worker) -> None:
        threading.Event().wait()

    return lambda: setattr(faust.Worker, "stop", hangs)


def a_cycle_ends(_: Worker) -> Callable[[], None]:
    """Garbage like that of a lost connection, without allocations that would start a collection."""
    heap.TRIM_SECONDS = 0.1  # type: ignore[misc]

    def begin() -> None:
        gc.set_threshold(0)
        cycle: Any = threading.Event()
        cycle.own = cycle
        weakref.finalize(cycle, logging.getLogger(__name__).warning, "the cycle was collected")

    return begin


def events_end_it(_: Worker) -> Callable[[], None]:
    """The process ends at the first event that it is to process, at every start: a record that it cannot read."""

    async def ends(_: Engine, batch: Batch) -> None:
        if batch.records:
            end_process(ValueError("cannot read this record"))

    setattr(Engine, "_apply", ends)  # noqa: B010 mypy knows no other way
    return lambda: None


def its_clock_is_ahead(_: Worker) -> Callable[[], None]:
    """Its clock is an hour ahead, from the start on."""
    right = time.time
    time.time = lambda: right() + 3600
    return lambda: None


def _flushed_often() -> None:
    """What waits is durable after a second, and a store that failed is opened again after one."""
    waiting.FLUSH_SECONDS = 1.0  # type: ignore[misc]
    waiting.RETRY_SECONDS = 1.0  # type: ignore[misc]
    engine.REOPEN_SECONDS = 0.5  # type: ignore[misc]


def its_store_is_flushed_often(_: Worker) -> Callable[[], None]:
    """From the start on."""
    _flushed_often()
    return lambda: None


class _FailingHandle:
    """A database whose files cannot be read or written, as long as the fault lasts."""

    def __init__(self, rows: Any, failing: list[bool]) -> None:
        self._rows, self._failing = rows, failing

    def __getattr__(self, name: str) -> Any:
        if self._failing and name in ("write", "flush", "iter"):
            raise Exception("IO error: While pread offset 0: Input/output error")  # noqa: TRY002 as rocksdict does
        return getattr(self._rows, name)


def its_disk_fails(_: Worker) -> Callable[[], None]:
    """Every read and write of its store fails with EIO, until the second signal. It is flushed often."""
    _flushed_often()
    rdict, failing = rocksdict.Rdict, list[bool]()

    def opened(*args: Any, **options: Any) -> Any:
        if failing:
            raise Exception("IO error: While open a file for random read: Input/output error")  # noqa: TRY002
        return _FailingHandle(rdict(*args, **options), failing)

    setattr(spans, "Rdict", opened)  # noqa: B010 mypy knows no other way
    return lambda: failing.clear() if failing else failing.append(True)


def everything_is_a_row(_: Worker) -> Callable[[], None]:
    """No evaluation waits, and claims say so: as of the first release."""
    setattr(claim, "WAITING_SCHEMA", 2)  # noqa: B010 mypy knows no other way

    def merge(_: WaitingEvaluations, part: WaitingPartition, facts: Iterable[Evaluation], __: object) -> None:
        for fact in facts:
            part.shard.apply(fact)

    setattr(WaitingEvaluations, "receive", lambda _, part, fact, __: part.shard.apply(fact))  # noqa: B010 as above
    setattr(WaitingEvaluations, "let_wait", merge)  # noqa: B010 as above
    return lambda: None


FAULTS: Mapping[str, Callable[[Worker], Callable[[], None]]] = {
    each.__name__: each
    for each in (
        commits_freeze,
        membership_ends,
        memory_goes_bad,
        publishes_wrong,
        the_end_hangs,
        a_cycle_ends,
        topics_are_watched_often,
        events_end_it,
        its_clock_is_ahead,
        its_store_is_flushed_often,
        its_disk_fails,
        everything_is_a_row,
    )
}


def prepare(name: str, worker: Worker) -> None:
    """Start this fault on SIGUSR1."""
    begin = FAULTS[name](worker)
    signal.signal(signal.SIGUSR1, lambda *_: begin())
