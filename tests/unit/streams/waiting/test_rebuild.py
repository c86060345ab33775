"""A rebuild reads what the store lacks, and no more than is its share."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from aggregator.facts import Annotation, Evaluation, encode, key
from aggregator.shard import Shard
from streams.events.decoder import Decoder
from streams.kafka.batches import Batch, CorruptPartitionError
from streams.kafka.record_batches import ParsedRecord
from streams.runtime.metrics import WorkerMetrics
from streams.waiting import rebuild as module
from streams.waiting.coverage import OffsetRanges
from streams.waiting.gauges import update_gauges
from streams.waiting.partition import Continuation, WaitingPartition
from streams.waiting.rebuild import Rebuild
from streams.waiting.waiting import WaitingEvaluations
from tests.support.waiting import eventually
from tests.unit.streams.waiting.dictionary import DictionaryStore

AT = 1_780_000_000_000
TOPIC = "evaluations"
KEEP_MS = 1_000


def evaluation(offset: int, timestamp: int = AT) -> ParsedRecord:
    """A record of the topic: an evaluation of an item of its own."""
    fact = Evaluation(AT, f"e{offset}", f"i{offset}", "m", passed=True)
    return ParsedRecord(offset, timestamp, fact.item.encode(), encode(fact), [])


class Reader:
    """A consumer of a topic that has these records of each partition; `fails` is raised when one is read."""

    def __init__(self, records: Mapping[int, list[ParsedRecord]]) -> None:
        self.records = records
        self.fails: dict[int, KafkaError] = {}
        self.sought: list[tuple[int, int]] = []
        self._position = 0

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing to do: `seek` follows."""

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.sought.append((tp.partition, offset))
        self._position = offset

    async def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self.records[tp.partition][0].offset for tp in partitions}

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, Any]:
        found: dict[TopicPartition, Any] = {}
        for tp, since in times.items():
            later = [record.offset for record in self.records[tp.partition] if record.timestamp >= since]
            found[tp] = SimpleNamespace(offset=later[0]) if later else None
        return found

    async def fetch(self, partition: int) -> list[Batch]:
        if partition in self.fails:
            raise self.fails[partition]
        records = [record for record in self.records[partition] if record.offset >= self._position]
        if not records:
            return []
        start, self._position = self._position, records[-1].offset + 1
        return [Batch(TOPIC, partition, start, self._position, list(records))]


@contextlib.contextmanager
def running(rebuild: Rebuild) -> Iterator[None]:
    """A rebuild in the background."""
    task = asyncio.create_task(rebuild.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()


class Rebuilt:
    """A worker whose store has nothing of what was processed of these partitions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, records: Mapping[int, list[ParsedRecord]]) -> None:
        async def fetch(reader: Any, wanted: Collection[TopicPartition], _: float) -> list[Batch]:
            (tp,) = wanted
            batches: list[Batch] = await reader.fetch(tp.partition)
            await asyncio.sleep(0)
            return batches

        monkeypatch.setattr(module, "fetch", fetch)
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
        self.store = DictionaryStore()
        self.metrics = WorkerMetrics("0", list)
        self.waiting = WaitingEvaluations(self.store, TOPIC, Decoder(), KEEP_MS, self.metrics, 1_000)
        self.reader = Reader(records)
        self.thawed = asyncio.Event()
        self.thawed.set()
        self.owned: list[Any] = [self._own(partition, each) for partition, each in records.items()]
        consumer: Any = self.reader
        self.rebuild = Rebuild(self.waiting, consumer, lambda: self.owned)

    def _own(self, partition: int, records: list[ParsedRecord]) -> Any:
        part = self.waiting.assigned(partition, Shard(partition))
        end = records[-1].offset + 1
        self.waiting.restored(part, Continuation("ledger", 0, end, end, "topic", old=False, anew=False))
        return SimpleNamespace(
            partition=partition,
            ready=True,
            waiting=part,
            positions={TOPIC: end},
            applied=lambda: None,
            thawed=self.thawed.wait,
        )

    def part(self, partition: int = 0) -> WaitingPartition:
        part: WaitingPartition = self.owned[partition].waiting
        return part

    def left(self, partition: int = 0) -> int:
        return self.rebuild.left()[partition]

    def sample(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"eval_alignment_waiting_{name}")


async def test_what_the_store_lacks_is_read_again_and_what_is_known_is_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Rebuilt(monkeypatch, {0: [evaluation(offset) for offset in range(5)]})
    worker.part().shard.apply(Annotation(AT, "a", "q", "i3", thumbs="up"))
    with running(worker.rebuild):
        await eventually(lambda: worker.left() == 0)
    assert {offset for _, _, offset in worker.store.rows} == {0, 1, 2, 4}
    assert key(Evaluation(AT, "e3", "i3", "m")) in worker.part().shard.dirty
    assert worker.part().covered == OffsetRanges.of([(0, 5)])


@pytest.mark.row(51)
async def test_offsets_that_the_topic_no_longer_has_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Rebuilt(monkeypatch, {0: [evaluation(offset) for offset in range(7, 10)]})
    worker.waiting.before = AT - KEEP_MS
    with running(worker.rebuild):
        await eventually(lambda: worker.left() == 0)
    assert worker.part().report.missing == 7
    assert worker.sample("missing_total") == 7
    assert "evaluations[0] no longer has the offsets 0 to 6" in caplog.text


async def test_offsets_that_are_too_old_to_be_kept_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retention took the first ones, and the topic still has some that the store would drop."""
    old = [evaluation(offset, AT - KEEP_MS - 1) for offset in range(7, 9)]
    worker = Rebuilt(monkeypatch, {0: [*old, evaluation(9)]})
    worker.waiting.before = AT - KEEP_MS
    with running(worker.rebuild):
        await eventually(lambda: worker.left() == 0)
    assert worker.sample("missing_total") == 0
    assert worker.reader.sought == [(0, 9)]
    assert {offset for _, _, offset in worker.store.rows} == {9}


@pytest.mark.parametrize("busy", [True, False])
async def test_while_live_events_wait_they_get_three_quarters_of_the_time(
    monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    worker = Rebuilt(monkeypatch, {0: [evaluation(offset) for offset in range(4)]})
    worker.rebuild.busy = lambda: busy
    now, slept = [0.0], list[float]()
    monkeypatch.setattr(module, "FOLD_RECORDS", 2)
    fold = Rebuild._fold_piece

    def slow(self: Rebuild, gap: Any, records: Any) -> bool:
        now[0] += 2.0
        return fold(self, gap, records)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(Rebuild, "_fold_piece", slow)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0], time=lambda: AT / 1000))
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))
    await worker.rebuild._close_gap(worker.owned[0])
    assert slept == ([6.0, 6.0] if busy else [0, 0])
    assert worker.left() == 0


def corrupt() -> KafkaError:
    return CorruptPartitionError("evaluations[0] is corrupt at offset 0", TopicPartition(TOPIC, 0))


@pytest.mark.parametrize("error", [corrupt, lambda: KafkaConnectionError("gone")], ids=["corrupt", "broker away"])
async def test_a_partition_that_cannot_be_read_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Callable[[], KafkaError]
) -> None:
    worker = Rebuilt(monkeypatch, {0: [evaluation(0)], 1: [evaluation(0), evaluation(1)]})
    worker.reader.fails[0] = error()
    with caplog.at_level(logging.WARNING), running(worker.rebuild):
        await eventually(lambda: worker.left(1) == 0)
        sought = len(worker.reader.sought)
        await eventually(lambda: len(worker.reader.sought) >= sought + 3)
        assert worker.left(0) == 1
        assert len(caplog.records) == 1, "once, not at every attempt"
        worker.reader.fails.clear()
        await eventually(lambda: worker.left(0) == 0)


async def test_nothing_is_read_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Rebuilt(monkeypatch, {0: [evaluation(0)]})
    looked: list[bool] = []

    def owned() -> list[Any]:
        looked.append(True)
        return worker.owned

    worker.rebuild.partitions = owned
    worker.store.go_away()
    with running(worker.rebuild):
        await eventually(lambda: len(looked) > 6)
        assert worker.reader.sought == []
        monkeypatch.setattr("streams.waiting.waiting.RETRY_SECONDS", 0.0)
        worker.waiting.reopen()
        await eventually(lambda: worker.left() == 0)


async def test_a_store_that_is_lost_meanwhile_is_read_again_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Rebuilt(monkeypatch, {0: [evaluation(offset) for offset in range(6)]})
    monkeypatch.setattr(module, "FOLD_RECORDS", 2)
    lost: list[bool] = []
    put = DictionaryStore.put

    def lose(self: DictionaryStore, partition: int, *records: Any) -> None:
        if any(record.offset == 4 for record in records) and not lost:
            lost.append(True)
            self.lose()
        put(self, partition, *records)

    monkeypatch.setattr(DictionaryStore, "put", lose)
    with running(worker.rebuild):
        await eventually(lambda: worker.left() == 0)
    assert {offset for _, _, offset in worker.store.rows} == set(range(6))


# ---- gauges


async def test_gauges_show_the_store_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Rebuilt(monkeypatch, {0: [evaluation(0)], 1: [evaluation(0), evaluation(1)]})
    worker.waiting.free_bytes = lambda: 77
    worker.store.bytes_on_disk, worker.store.oldest_ms = 55, AT
    monkeypatch.setattr("streams.waiting.gauges.time", SimpleNamespace(time=lambda: AT / 1000 + 9))
    worker.store.put(1, evaluation(0))
    worker.part(0).owed["i1"] = None
    update_gauges(worker.waiting, worker.rebuild)
    names = ("evaluations", "bytes", "oldest_seconds", "owed_items", "free_bytes")
    assert {name: worker.sample(name) for name in names} == dict(zip(names, (1, 55, 9, 1, 77), strict=True))
    assert rebuild_events(worker) == {"0": 1, "1": 2}
    del worker.owned[0]

    def missing() -> int:
        raise FileNotFoundError

    worker.waiting.free_bytes, worker.store.oldest_ms = missing, None
    update_gauges(worker.waiting, worker.rebuild)
    assert rebuild_events(worker) == {"1": 2}, "the series of a revoked partition is gone"
    assert (worker.sample("free_bytes"), worker.sample("oldest_seconds")) == (0, 0)


def rebuild_events(worker: Rebuilt) -> dict[str, float]:
    return {
        sample.labels["partition"]: sample.value
        for family in worker.metrics.registry.collect()
        if family.name == "eval_alignment_waiting_rebuild_events"
        for sample in family.samples
    }


async def test_a_frozen_partition_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Rebuilt(monkeypatch, {0: [evaluation(offset) for offset in range(5)]})
    worker.part().shard.apply(Annotation(AT, "a", "q", "i3", thumbs="up"))
    worker.thawed.clear()
    with running(worker.rebuild):
        await eventually(lambda: worker.reader.sought)
        for _ in range(20):
            await asyncio.sleep(0)
        assert (worker.part().shard.rows, worker.left()) == (1, 5)
        worker.thawed.set()
        await eventually(lambda: worker.left() == 0)
    assert worker.part().shard.rows == 2
