"""The batch consumer, its commits and its settings, without a broker."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.assignor.partition_assignor import PartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.kafka import transport
from streams.kafka.batches import Batch
from streams.kafka.client import EMBEDDED, KAFKA
from streams.kafka.transport import BatchConsumer, BatchThread
from streams.worker import Worker, WorkerConfig

SOURCE = TP("alignment.annotations.v1", 0)


@pytest.fixture
async def consumer() -> AsyncIterator[BatchConsumer]:
    """A batch consumer of an app that is not started."""
    worker = Worker(WorkerConfig(("127.0.0.1:1",), "w1"))
    app = worker._new_app(KAFKA)
    app.finalize()
    yield app.consumer  # type: ignore[misc]
    app.consumer._thread.thread_loop.close()  # type: ignore[attr-defined]


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


# Faust's `commit` returns immediately while the timer's commit is in flight.
async def test_offsets_released_during_a_commit_are_committed_by_the_next(
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


async def test_refused_offsets_are_not_taken_for_committed(
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


# Faust would keep every offset between two batches in an interval tree.
async def test_gaps_between_messages_are_not_kept(consumer: BatchConsumer) -> None:
    await consumer._add_gap(SOURCE, 0, 10**9)
    assert not consumer._gap


# Offsets have gaps: only a fetch knows where the next one starts.
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


@pytest.mark.parametrize("capabilities", [KAFKA, EMBEDDED])
async def test_the_consumer_has_our_settings(capabilities: Any) -> None:
    worker = Worker(WorkerConfig(("127.0.0.1:1", "127.0.0.1:2"), "host 7/a"))
    app = worker._new_app(capabilities)
    app.finalize()
    assert str(app.conf.canonical_url) == "http://worker/host%207%2Fa"
    thread = app.consumer._thread  # type: ignore[attr-defined]
    created = thread._create_worker_consumer(app.transport)
    created._closed = True
    thread.thread_loop.close()
    assert "_metadata_update" in vars(created._client), "it pauses where a partition has no leader"
    assert isinstance(thread, BatchThread)
    # Without a Faust table, Faust would take aiokafka's round robin, which does not co-partition.
    assert created._partition_assignment_strategy == [app.assignor]
    assert isinstance(app.assignor, PartitionAssignor)
    thread._consumer = created
    order: Any = thread._order
    read = order.of([TopicPartition("alignment.evaluations.v1", 0), TopicPartition(*SOURCE)])
    assert [tp.topic for tp in read] == ["alignment.annotations.v1", "alignment.evaluations.v1"]
    assert created._fetch_max_wait_ms == transport.FETCH_MAX_WAIT_MS == 50
    assert created._fetch_min_bytes == transport.FETCH_MIN_BYTES
    assert created._isolation_level == "read_committed"
    assert created._auto_offset_reset == "earliest"
    assert created._group_instance_id == "host 7/a"
    assert created._enable_auto_commit is False
    assert created._session_timeout_ms == capabilities.session_seconds * 1000
    assert created._heartbeat_interval_ms == capabilities.session_seconds * 200
    assert created._rebalance_timeout_ms >= 30_000
    assert created._client._bootstrap_servers == ["127.0.0.1:1", "127.0.0.1:2"]


async def test_a_consumer_fetches_only_while_the_queue_of_the_agent_has_room(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetches: list[float] = []

    async def getmany(_: Any, __: Any, timeout: float) -> dict[TP, Any]:  # noqa: ASYNC109 -- Faust's signature
        fetches.append(timeout)
        return {}

    monkeypatch.setattr(driver.Consumer, "_getmany", getmany)
    queue: asyncio.Queue[str] = asyncio.Queue()
    consumer.limit_by(queue)
    await consumer._getmany(None, 1.0)
    queue.put_nowait("a fetch")
    await consumer._getmany(None, 2.0)
    queue.get_nowait()
    await consumer._getmany(None, 3.0)
    assert fetches == [1.0, 3.0]


async def test_a_consumer_awaits_the_last_checkpoint_before_partitions_are_revoked(consumer: BatchConsumer) -> None:
    await consumer.wait_empty()
    checkpoints: list[str] = []

    async def checkpoint() -> None:
        checkpoints.append("written")

    consumer.before_revocation(checkpoint)
    await consumer.wait_empty()
    assert checkpoints == ["written"]


# Faust seeks to the committed offsets after the restore, and drops messages below the last one that it saw.
async def test_a_partition_starts_where_the_restore_has_sought(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought: list[dict[TP, int]] = []

    async def seek_all(positions: dict[TP, int]) -> None:
        sought.append(dict(positions))

    async def committed(partitions: set[TP]) -> dict[TP, int | None]:
        return {tp: 70 if tp == SOURCE else None for tp in partitions}

    other = TP("alignment.evaluations.v1", 0)
    monkeypatch.setattr(consumer._thread, "seek_all", seek_all)
    monkeypatch.setattr(consumer._thread, "committed", committed)
    monkeypatch.setattr(BatchConsumer, "assignment", lambda _: {SOURCE, other})
    consumer._read_offset[SOURCE] = 90
    await consumer.seek_all({SOURCE: 40, other: 0})
    await consumer.perform_seek()
    assert sought == [{SOURCE: 40, other: 0}]
    assert consumer._read_offset[SOURCE] is None
    assert consumer.committed_offset(SOURCE) == 70
    assert consumer.committed_offset(other) is None


@pytest.mark.parametrize(
    ("state", "lag"),
    [
        ({"highwater": 90, "lso": 90}, 50),
        # What follows is of an open transaction, and does not come.
        ({"highwater": 90, "lso": 45}, 5),
        ({"highwater": 90, "lso": -1}, 50),
        ({"highwater": None, "lso": None}, 0),
        ({"highwater": 90, "lso": 90, "has_valid_position": False}, 0),
    ],
)
def test_the_lag_of_a_source_is_what_can_be_fetched(state: dict[str, Any], lag: int) -> None:
    known = SimpleNamespace(**{"timestamp": 1, "position": 40, "has_valid_position": True, **state})
    assignment = SimpleNamespace(tps={SOURCE}, state_value={SOURCE: known}.__getitem__)
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    thread: Any = SimpleNamespace(_consumer=SimpleNamespace(_subscription=subscription))
    for method in ("watermarks", "_state", "_ensure_consumer"):
        setattr(thread, method, getattr(BatchThread, method).__get__(thread))
    assert BatchThread._lag(thread, TopicPartition(*SOURCE)) == lag
    assert BatchThread._lag(thread, TopicPartition("revoked", 0)) == 0
