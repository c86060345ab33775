"""The traps of Faust and aiokafka that the transport and the engine step around: without the handling, these fail."""

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from faust.assignor.partition_assignor import PartitionAssignor
from faust.types import TP

from streams.engine.engine import Engine
from streams.engine.restore import Restore
from streams.engine.watchdog import Watchdog
from streams.kafka import transport
from streams.kafka.batches import Batch
from streams.kafka.client import EMBEDDED, KAFKA
from streams.kafka.transport import BatchConsumer, BatchThread
from streams.ledger.log import new_producer
from streams.runtime import heap
from streams.runtime.failures import Failure
from streams.runtime.health import Health
from streams.worker import Worker, WorkerConfig
from tests.integration.streams.rig import Rig, history
from tests.support.processes import resident_bytes

SOURCE = TP("alignment.annotations.v1", 0)


@pytest.fixture
async def consumer() -> AsyncIterator[BatchConsumer]:
    """A batch consumer of an app that is not started."""
    worker = Worker(WorkerConfig(("127.0.0.1:1",), "w1"))
    app = worker._new_app(KAFKA)
    app.finalize()
    yield app.consumer  # type: ignore[misc]
    app.consumer._thread.thread_loop.close()  # type: ignore[attr-defined]


# ---- 1. a dead coordinator makes a mute worker


async def test_a_dead_coordinator_ends_the_worker(rig: Rig) -> None:
    """With an address that changes between starts, the coordinator's task dies on the first assignment."""
    first = rig.worker(url="http://first")
    await rig.restored(first)
    first.kill()
    second = rig.worker(url="http://second")
    assert await second.ended(20.0) == Failure.STALLED.value.code
    assert "the task that keeps the membership has ended" in second.text()


async def test_a_fetch_finds_a_dead_coordinator(consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead() -> None:
        raise KafkaError("the coordinator has died")

    def ends(error: BaseException) -> None:
        raise SystemExit(str(error))

    monkeypatch.setattr(transport, "end_process", ends)
    fetcher = SimpleNamespace(_subscriptions=SimpleNamespace(fetch_context=contextlib.nullcontext))
    mute = SimpleNamespace(_fetcher=fetcher, _coordinator=SimpleNamespace(check_errors=dead))
    with pytest.raises(SystemExit, match="the coordinator has died"):
        await consumer.batches._fetch_records(mute, set(), 0.1)  # type: ignore[arg-type]


async def test_a_fixed_address_restarts_within_the_session(rig: Rig) -> None:
    first = rig.worker()
    await rig.restored(first)
    first.kill()
    second = rig.worker()
    # The group's session lasts 10 s: only the stable name and address are faster.
    await rig.restored(second, 8.0)


def test_membership_that_ended_is_seen_without_a_fetch() -> None:
    group = SimpleNamespace(membership=lambda: (3, False))
    guard = Watchdog("facts", {}, group, None, True, Health(), None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="keeps the membership has ended"):
        guard._look_at_worker()


# ---- 2. `commit` returns at once while the timer's commit is in flight


async def test_what_was_released_during_a_commit_is_committed_by_the_next(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed: list[dict[TP, int]] = []
    in_flight = asyncio.Event()

    async def commit_offsets(self: BatchConsumer, offsets: dict[TP, int], **_: Any) -> bool:
        committed.append(dict(offsets))
        await in_flight.wait()
        self._committed_offset.update(offsets)
        return True

    monkeypatch.setattr(BatchConsumer, "_commit_offsets", commit_offsets)
    consumer.make_committable({SOURCE: 5})
    timer = asyncio.create_task(consumer.commit())
    await asyncio.sleep(0)
    consumer.make_committable({SOURCE: 9})
    last = asyncio.create_task(consumer.commit_pending())
    await asyncio.sleep(0)
    in_flight.set()
    assert await last
    await timer
    assert committed == [{SOURCE: 5}, {SOURCE: 9}]


async def test_a_refused_commit_does_not_loop(consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: Any, **__: Any) -> bool:
        return False

    monkeypatch.setattr(BatchConsumer, "_commit_offsets", refused)
    consumer.make_committable({SOURCE: 5})
    assert not await asyncio.wait_for(consumer.commit_pending(), 5)


async def test_what_was_refused_is_not_taken_for_committed(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True])
    tried: list[dict[TP, int]] = []

    async def commit(offsets: dict[TP, int]) -> bool:
        tried.append(dict(offsets))
        return next(answers)

    monkeypatch.setattr(consumer, "_commit", commit)
    monkeypatch.setattr(consumer, "assignment", lambda: {SOURCE})
    consumer.make_committable({SOURCE: 5, TP("given-away", 0): 7})
    assert not await consumer.commit()
    assert await consumer.commit()
    assert tried == [{SOURCE: 5}, {SOURCE: 5}]
    assert (consumer.committed_offset(SOURCE), consumer.commits) == (5, 1)


# ---- 3. a partition without a committed offset is not sought by Faust


class _Offsets:
    """A group whose member owns partition 0 of the three sources; nothing is committed but one."""

    def __init__(self, committed: dict[TP, int]) -> None:
        self._committed = committed
        self.sought: dict[TP, int] = {}

    def assigned(self) -> set[TP]:
        return {TP(topic, 0) for topic in WorkerConfig(("b",), "w").topics.sources}

    async def committed(self, partitions: list[TP]) -> dict[TP, int | None]:
        return {tp: self._committed.get(tp) for tp in partitions}

    async def starts(self, partitions: list[TP]) -> dict[TP, int]:
        return dict.fromkeys(partitions, 3)

    async def ends(self, partitions: list[TP]) -> dict[TP, int]:
        return dict.fromkeys(partitions, 100)

    async def seek(self, positions: dict[TP, int]) -> None:
        self.sought.update(positions)


async def test_partitions_that_were_never_committed_are_sought_to_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    group = _Offsets({SOURCE: 42})
    topics = WorkerConfig(("b",), "w").topics
    owned: dict[int, Any] = {}

    async def nothing(*_: Any, **__: Any) -> list[int]:
        return []

    for step in ("_replay", "_lost_ledgers", "_claim", "_compare", "_repair"):
        monkeypatch.setattr(Restore, step, nothing)
    restoring = Restore(
        name="w",
        topics=topics,
        partitions=1,
        policy=WorkerConfig(("b",), "w").policy,
        accept_loss=False,
        capabilities=KAFKA,
        group=group,  # type: ignore[arg-type]
        producer=None,  # type: ignore[arg-type]
        reader=None,  # type: ignore[arg-type]
        checkpoint=nothing,  # type: ignore[arg-type]
        metrics=None,  # type: ignore[arg-type]
        on_step=lambda _: None,
        owned=owned,
    )
    await restoring(lambda: False)
    expected = {SOURCE: 42, TP(topics.evaluations, 0): 3, TP(topics.queue_items, 0): 3}
    assert group.sought == expected
    assert owned[0].sources() == expected


# ---- 4. Faust would keep every offset between two batches in an interval tree


async def test_gaps_between_messages_are_not_kept(consumer: BatchConsumer) -> None:
    await consumer._add_gap(SOURCE, 0, 10**9)
    assert not consumer._gap


# ---- 5. whatever is awaited in Faust's recovery can be cancelled


async def test_a_restore_goes_on_when_the_wait_for_it_is_cancelled() -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Restoring:
        def __init__(self) -> None:
            self.owned: dict[int, Any] = {}

        async def __call__(self, _: Any) -> None:
            begun.set()
            await may_end.wait()
            ended.set()

    metrics = SimpleNamespace(recovering=SimpleNamespace(set=lambda _: None))
    group = SimpleNamespace(generation=lambda: 7)
    engine = Engine(
        applier=None,  # type: ignore[arg-type]
        dead_letters=None,  # type: ignore[arg-type]
        group=group,  # type: ignore[arg-type]
        health=Health(),
        metrics=metrics,  # type: ignore[arg-type]
        restore=Restoring(),  # type: ignore[arg-type]
        checkpoint=None,  # type: ignore[arg-type]
        watchdog=None,  # type: ignore[arg-type]
    )
    waiting = asyncio.create_task(engine.restore())
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    (restoring,) = engine._tasks
    may_end.set()
    await asyncio.wait_for(restoring, 5)
    assert ended.is_set()
    assert engine.generation == 7


# ---- 6. offsets have gaps: only a fetch knows where the next one starts (test_fetching.py)


async def test_a_fetch_counts_as_the_end_of_its_first_batch(consumer: BatchConsumer) -> None:
    fetched = [
        Batch(*SOURCE, start=10, next=90, records=[], generation=4),
        Batch("other", 1, start=500, next=501, records=[], generation=4),
    ]
    message: Any = consumer._to_message(SOURCE, fetched)
    assert (message.topic, message.partition, message.offset) == (*SOURCE, 89)
    assert (message.generation_id, message.value) == (4, fetched)
    consumer.make_committable({SOURCE: 90})
    assert consumer._filter_committable_offsets(consumer._filter_tps_with_pending_acks()) == {SOURCE: 90}


# ---- 7. garbage collection nearly doubles the time of a restore


def test_nothing_is_collected_while_restoring() -> None:
    frozen = gc.get_freeze_count()
    with heap.pause_collection():
        assert not gc.isenabled()
        gone = _garbage()
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen
    assert gone() is None, "garbage is collected first"
    gc.unfreeze()


def test_what_ended_out_of_sight_is_collected_by_the_next_restore() -> None:
    """A connection that lives while rows are frozen, and is a cycle when it was lost."""
    with heap.pause_collection():
        held = _Cycle()
    gone = weakref.ref(held)
    del held
    gc.collect()
    assert gone() is not None, "out of sight"
    with heap.pause_collection():
        pass
    assert gone() is None
    gc.unfreeze()


async def test_a_worker_collects_what_ended_while_nothing_else_happens(rig: Rig) -> None:
    worker = rig.worker(inject="a_cycle_ends")
    await rig.restored(worker)
    worker.signal(signal.SIGUSR1)

    async def collected() -> bool:
        return "the cycle was collected" in worker.text()

    await rig.until("collected", collected)


async def test_nothing_is_given_back_while_restoring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for a million rows, for what the end of the restore does anyway."""
    monkeypatch.setattr(heap, "GIVE_BACK_SECONDS", 0.0)
    cleared = asyncio.Event()
    monkeypatch.setattr(heap, "clear_up", cleared.set)
    let_go: list[bool] = []
    giving_back = asyncio.create_task(heap.trim_heap(lambda: let_go.append(True)))
    gc.disable()
    try:
        for _ in range(10):
            await asyncio.sleep(0)
        assert not cleared.is_set()
        assert not let_go
    finally:
        gc.enable()
    await cleared.wait()
    assert let_go
    giving_back.cancel()


_GNU = pytest.mark.skipif(heap._malloc_trim is None, reason="not the GNU C library: it has no malloc_trim")


@_GNU
def test_what_a_burst_needed_is_given_back() -> None:
    before = resident_bytes(os.getpid())
    burst = [b"\x01" * (1 << 16) for _ in range(1000)]
    last = burst.pop()
    during = resident_bytes(os.getpid())
    assert during > before + (48 << 20)
    # The last one stays, and with it the whole heap below.
    del burst
    heap.collect()
    assert resident_bytes(os.getpid()) < during - (48 << 20)
    assert last


_THREADS = """
import ctypes, threading
from streams.runtime import heap
{before}
at_once = threading.Barrier(4)
found = set()
def allocate():
    block = ctypes.CDLL(None).malloc
    block.restype = ctypes.c_size_t
    at_once.wait()
    # A part of memory that is not the first begins at a multiple of 64 MiB.
    found.add(block(1000) >> 26)
    at_once.wait()
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found))
"""


@_GNU
@pytest.mark.parametrize(("before", "parts"), [("", 4), ("heap.share_free_memory()", 1)], ids=["own", "shared"])
def test_threads_allocate_from_the_same_memory(before: str, parts: int) -> None:
    told = subprocess.run([sys.executable, "-c", _THREADS.format(before=before)], check=True, capture_output=True)
    assert int(told.stdout) == parts


def test_rows_are_put_out_of_sight_as_they_grow() -> None:
    thresholds = gc.get_threshold()
    frozen = gc.get_freeze_count()
    try:
        rows = heap.HeapFreezer()
        rows.count(heap.GROWTH_ROWS - 1)
        assert gc.get_freeze_count() == frozen
        gone = _garbage()
        rows.count(heap.GROWTH_ROWS)
        assert gc.get_freeze_count() > frozen
        assert gone() is None, "garbage is collected first"
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


class _Cycle:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.own = self


def _garbage() -> weakref.ref[_Cycle]:
    return weakref.ref(_Cycle())


# ---- settings that matter


@pytest.mark.parametrize("capabilities", [KAFKA, EMBEDDED])
async def test_the_consumer_has_our_settings(capabilities: Any) -> None:
    worker = Worker(WorkerConfig(("127.0.0.1:1", "127.0.0.1:2"), "host 7/a"))
    app = worker._new_app(capabilities)
    app.finalize()
    assert str(app.conf.canonical_url) == "http://worker/host%207%2Fa"
    thread = app.consumer._thread  # type: ignore[attr-defined]
    made = thread._create_worker_consumer(app.transport)
    made._closed = True
    thread.thread_loop.close()
    assert "_metadata_update" in vars(made._client), "it pauses where a partition has no leader"
    assert isinstance(thread, BatchThread)
    # Without a Faust table, Faust would take aiokafka's round robin, which does not co-partition.
    assert made._partition_assignment_strategy == [app.assignor]
    assert isinstance(app.assignor, PartitionAssignor)
    assert made._fetch_max_wait_ms == transport.FETCH_MAX_WAIT_MS == 50
    assert made._fetch_min_bytes == transport.FETCH_MIN_BYTES
    assert made._isolation_level == "read_committed"
    assert made._auto_offset_reset == "earliest"
    assert made._group_instance_id == "host 7/a"
    assert made._enable_auto_commit is False
    assert made._session_timeout_ms == capabilities.session_seconds * 1000
    assert made._heartbeat_interval_ms == capabilities.session_seconds * 200
    assert made._rebalance_timeout_ms >= 30_000
    assert made._client._bootstrap_servers == ["127.0.0.1:1", "127.0.0.1:2"]


async def test_the_producer_has_our_settings() -> None:
    client = Worker(WorkerConfig(("127.0.0.1:1",), "w"))._client
    for capabilities in (KAFKA, EMBEDDED):
        producer = new_producer(client, capabilities)
        producer._closed = True
        assert producer._compression_type == "zstd"
        assert producer._sender._acks == -1
        assert (producer._txn_manager is not None) == capabilities.idempotence
        assert producer._request_timeout_ms == 30_000


async def test_faust_keeps_no_producer_no_web_and_no_directories(rig: Rig) -> None:
    before = set(rig.directory.iterdir())
    worker = rig.worker()
    await rig.restored(worker)
    await rig.produce(history(seed=41, events=10))
    await rig.settled()
    worker.signal(signal.SIGTERM)
    assert await worker.ended(10.0) == 0
    for service in ("Producer", "Web"):
        assert f"{service}: Starting" not in worker.text()
    assert set(rig.directory.iterdir()) == before | {worker.log}
