"""Checkpoints of tallies that are large: how much is written in which time, and what is never delayed."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.policy import Policy
from aggregator.shard import Shard
from aggregator.tallies import cells_group, group_key
from streams.engine import engine as engine_module
from streams.engine import pace
from streams.engine.checkpoint import Checkpoint
from streams.engine.engine import Engine
from streams.engine.pace import BURST_BYTES, BYTES_PER_ROW, BYTES_PER_SECOND, TallyPace, Written
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.start import Start
from streams.engine.watchdog import Watchdog
from streams.kafka.batches import Batch
from streams.ledger.claim import Claim
from streams.runtime.health import STALL_SECONDS, Health
from streams.runtime.metrics import WorkerMetrics
from tests.simulation import clock
from tests.support.partitions import drain
from tests.unit.streams.runtime.test_chunks import Clock

TOPIC = "annotations"
JUDGES = 1_000
DAY_MS = 86_400_000
UNUSED: Any = SimpleNamespace()


class SentLog:
    """A log that counts the bytes of what is appended."""

    def __init__(self) -> None:
        self.next = 0
        self.appended = 0
        self.sent: list[int] = []

    async def append(self, rows: Any) -> int:
        new = list(rows)
        await asyncio.sleep(0)
        self.next += len(new)
        self.sent.append(sum(len(key) + len(value) for key, value in new))
        return self.sent[-1]


class OneFactEach:
    """An applier that merges one fact for each record.

    Args:
        fact: the fact of the record at an offset.
    """

    paused = False

    def __init__(self, fact: Callable[[int], Fact]) -> None:
        self._fact = fact
        self.uncounted: list[int] = []
        """Rows of uncounted placements after each chunk."""

    def apply(self, owned: OwnedPartition, _topic: str, records: Any, _chunks: Any) -> list[Any]:
        for record in records:
            owned.shard.apply(self._fact(record.offset))
        self.uncounted.append(owned.shard.uncounted)
        return []

    @staticmethod
    def records(number: int) -> Any:
        """Records of the first offsets."""
        return [SimpleNamespace(timestamp=1, offset=offset) for offset in range(number)]


class Running:
    """An engine of two partitions whose checkpoints run. One item of partition 0 has a thousand judge versions."""

    def __init__(self) -> None:
        self.owned = OwnedPartitions()
        self.owned.assign({0, 1}, self._partition)
        self.health = Health()
        self.edits = 0
        group: Any = SimpleNamespace(
            watermarks=lambda _: None,
            release=lambda _: None,
            commit_pending=self._committed,
            forget=lambda: None,
            commits=lambda: 0,
            membership=lambda: (1, True),
            committed_offset=lambda _: 0,
        )
        metrics = WorkerMetrics("0", lambda: ())
        self.engine = Engine(
            applier=UNUSED,
            dead_letters=UNUSED,
            group=group,
            health=self.health,
            metrics=metrics,
            restore=SimpleNamespace(owned=self.owned),  # type: ignore[arg-type]
            checkpoint=Checkpoint(Policy.EACH, group, metrics, lambda _: None, self.health),
            watchdog=UNUSED,
        )
        self.watchdog = Watchdog("facts", self.owned, group, UNUSED, True, self.health)
        for owned in self.owned:
            owned.restored({TP(TOPIC, owned.partition): Start(0)})
        self.owned.begin_generation(1)
        self.hot, self.other = self.owned
        for judge in range(JUDGES):
            self.hot.shard.apply(
                Evaluation(1, "e", "item", "brief", "trace", f"judge {judge:08} of a run of the night", passed=True)
            )
        self.edit()
        drain(self.hot)
        self.edits = 0

    async def _committed(self) -> bool:
        return True

    @staticmethod
    def _partition(number: int) -> OwnedPartition:
        logs: Any = SentLog(), SentLog()
        owned = OwnedPartition(number, Shard(number), *logs)
        owned.claimed(Claim("l", 2, Policy.EACH, 1, "w", 1))
        return owned

    def sent(self, owned: OwnedPartition) -> list[int]:
        """Bytes of tallies by checkpoint."""
        log: Any = owned.tallies
        sizes: list[int] = log.sent
        return sizes

    def edit(self, item: str = "item") -> None:
        """Change the only annotation of an item."""
        owned = self.hot if item == "item" else self.other
        self.edits += 1
        thumbs: Any = ("up", "down")[self.edits % 2]
        owned.shard.apply(Annotation(self.edits, "a", "queue", item, "trace", "clear", "ann", thumbs=thumbs))
        owned.applied()
        self.engine._work.set()

    @contextlib.asynccontextmanager
    async def checkpoints(self) -> AsyncIterator[None]:
        """Meanwhile, checkpoints are written."""
        task = asyncio.create_task(self.engine._checkpoints())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def play() -> Iterator[Play]:
    """Run on virtual time; an error of the coroutine is raised."""

    def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        done: list[bool] = []

        async def whole() -> None:
            await main()
            done.append(True)

        clock.run(whole)
        assert done

    modules = ("engine", "checkpoint", "completeness", "watchdog")
    with clock.virtual_clock(*(f"streams.engine.{module}" for module in modules)):
        yield run


def test_small_edits_of_an_item_with_many_judges_write_no_more_than_the_pace(play: Play) -> None:
    """Each edit is 80 bytes, and changes the cells of all judges of its item."""

    async def flood() -> None:
        running = Running()
        async with running.checkpoints():
            for _ in range(1000):
                running.edit()
                await asyncio.sleep(0.02)
            sizes = running.sent(running.hot)
            allowed = BURST_BYTES + 20 * BYTES_PER_SECOND + len(sizes) * BYTES_PER_ROW + max(sizes)
            assert max(sizes) > 100_000, "each checkpoint publishes all judges"
            assert sum(sizes) <= allowed
            assert sum(sizes) > allowed / 2, "what is allowed is used"
            await asyncio.sleep(30)
            assert not running.hot.changed
            assert sum(sizes) <= allowed + max(sizes), "the last edits are in one checkpoint"

    play(flood)


def test_other_partitions_are_checkpointed_as_ever_meanwhile(play: Play) -> None:
    async def flood() -> None:
        running = Running()
        async with running.checkpoints():
            for _ in range(500):
                running.edit()
                running.edit("another")
                await asyncio.sleep(0.02)
            assert len(running.sent(running.hot)) < 50
            assert len(running.sent(running.other)) > 150, "about one in 50 ms"

    play(flood)


def test_a_last_checkpoint_is_not_delayed(play: Play) -> None:
    async def flood() -> None:
        running = Running()
        async with running.checkpoints():
            while not running.health.delayed():
                running.edit()
                await asyncio.sleep(0.02)
            began = clock.monotonic()
            await running.engine.wait_empty()
            assert clock.monotonic() == began
            assert not running.hot.changed

    play(flood)


def test_changes_of_a_delayed_partition_hold_up_no_other(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than half a million changed cells; `max_tallies` bounds their memory."""
    monkeypatch.setattr(pace, "BYTES_PER_SECOND", 10)
    monkeypatch.setattr(pace, "BYTES_PER_ROW", 1)

    async def flood() -> None:
        running = Running()
        running.engine._applier = OneFactEach(  # type: ignore[assignment]
            lambda offset: Annotation(offset * DAY_MS, "a", "queue", "item", "trace", f"{offset}", thumbs="up")
        )
        async with running.checkpoints():
            while not running.health.delayed():
                running.edit()
                await asyncio.sleep(0.02)
            began = clock.monotonic()
            for owned in running.owned:
                await running.engine._apply(Batch(TOPIC, owned.partition, 0, 600, OneFactEach.records(600), 1))
            assert clock.monotonic() - began < 60
            assert running.health.delayed().keys() == {running.hot.partition}
            await asyncio.sleep(1)
            assert not running.other.changed, "it is published"
        tallies = running.hot.tallies.next
        await running.engine.wait_empty()
        assert running.hot.tallies.next > tallies + 600
        assert running.hot.positions[TOPIC] == 600

    play(flood)


def test_placements_of_a_delayed_partition_are_counted_before_they_take_long(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "MAX_UNCOUNTED", 5 * JUDGES)
    monkeypatch.setattr(pace, "BYTES_PER_SECOND", 10)
    monkeypatch.setattr(pace, "BYTES_PER_ROW", 1)

    async def flood() -> None:
        running = Running()
        applier = OneFactEach(lambda offset: QueueItem(9, "q", f"queue {offset}", "item"))
        running.engine._applier = applier  # type: ignore[assignment]
        for number in range(400):
            running.hot.shard.apply(QueueItem(1, "q", f"queue {number}", "item", deleted=True))
        drain(running.hot)
        async with running.checkpoints():
            while not running.health.delayed():
                running.edit()
                await asyncio.sleep(0.02)
            await running.engine._apply(Batch(TOPIC, 0, 0, 400, OneFactEach.records(400), 1))
            assert running.health.delayed()
        assert 5 * JUDGES <= max(applier.uncounted) < 300 * JUDGES, "not 400 queues"

    play(flood)


def test_dirty_rows_of_a_delayed_partition_hold_up_no_other(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are bounded in memory, all partitions together, and those that wait for their tallies must not use it up."""
    monkeypatch.setattr(engine_module, "MAX_DIRTY_ROWS", 100)
    monkeypatch.setattr(pace, "BYTES_PER_SECOND", 10)
    monkeypatch.setattr(pace, "BYTES_PER_ROW", 1)

    async def flood() -> None:
        running = Running()
        running.engine._applier = OneFactEach(  # type: ignore[assignment]
            lambda offset: Annotation(1, "a", "queue", f"item {offset}", "trace", thumbs="up")
        )
        async with running.checkpoints():
            while not running.health.delayed():
                running.edit()
                await asyncio.sleep(0.02)
            for owned in running.owned:
                async with asyncio.timeout(60):
                    await running.engine._apply(Batch(TOPIC, owned.partition, 0, 1000, OneFactEach.records(1000), 1))
            assert running.health.delayed().keys() == {running.hot.partition}
            await asyncio.sleep(1)
            assert not running.other.changed, "it is published"
        tallies, ledger = running.hot.tallies.next, running.hot.ledger.next
        assert ledger > 900, "its rows are written"
        # What the rows change is published in the end.
        await running.engine.wait_empty()
        assert running.hot.tallies.next > tallies
        assert running.hot.ledger.next >= 1000

    play(flood)


def test_a_partition_without_changes_gets_its_markers_although_it_owes(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "BYTES_PER_SECOND", 10)

    async def idle() -> None:
        running = Running()
        async with running.checkpoints():
            for _ in range(10):
                running.edit()
                await asyncio.sleep(0.1)
                drain(running.hot)
            before = len(running.sent(running.hot))
            await asyncio.sleep(60)
            assert len(running.sent(running.hot)) > before + 8

    play(idle)


def test_a_worker_whose_checkpoints_are_delayed_is_not_stalled(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BYTES_PER_SECOND", 10)

    async def flood() -> None:
        running = Running()
        async with running.checkpoints():
            while not running.health.delayed():
                running.edit()
                running.hot.processed(TOPIC, running.edits, None)
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            running.watchdog._check_progress()
            await asyncio.sleep(2 * STALL_SECONDS)
            assert running.health.delayed()
            running.watchdog._check_progress()
            assert running.health.live

    play(flood)


def owned_with(rows: int) -> OwnedPartition:
    owned = OwnedPartition(3, Shard(3), UNUSED, UNUSED)
    owned.begin()
    owned.applied()
    owned.shard.dirty = {str(number).encode(): b"" for number in range(rows)}
    return owned


def test_bytes_over_the_allowance_delay_the_next_checkpoint_and_rows_pay_for_them() -> None:
    now = Clock()
    paced, owned = TallyPace(lambda: now.now), owned_with(0)
    assert paced.wait(owned) == 0
    paced.wrote([Written(owned, 0, {}, BURST_BYTES)])
    assert paced.wait(owned) == 0
    paced.wrote([Written(owned, 0, {}, 4 * BYTES_PER_SECOND)])
    assert paced.wait(owned) == 4
    assert paced.wait(owned_with(2 * BYTES_PER_SECOND // BYTES_PER_ROW)) == 2, "rows that are to be written pay"
    now.now += 3
    assert paced.delayed([owned]) == {3: 1}
    paced.wrote([Written(owned, BYTES_PER_SECOND // BYTES_PER_ROW, {}, 0)])
    assert (paced.wait(owned), paced.delayed([owned])) == (0, {})
    now.now += 3600
    paced.wrote([Written(owned, 0, {}, BURST_BYTES + BYTES_PER_SECOND)])
    assert paced.wait(owned) == 1, "a quiet hour allows no more than the burst"


def test_a_line_a_minute_names_the_largest_tallies(caplog: pytest.LogCaptureFixture) -> None:
    now = Clock()
    paced, owned = TallyPace(lambda: now.now), owned_with(0)
    vectors: Any = {"current": [], "superseded": []}
    tallies: Any = {
        group_key(cells_group("small", "clear", "brief", "2026-11-01")): {"judges": {"a": vectors}},
        group_key(cells_group("large", "clear", "brief", "2026-11-01"), 1): {"judges": {"a": vectors, "b": vectors}},
        b'["annotations","large","clear","2026-11-01"]': {"annotations": 1, "contributing": 1},
    }
    written = [Written(owned, 1, tallies, BURST_BYTES + 9 * BYTES_PER_SECOND)]
    with caplog.at_level(logging.WARNING):
        paced.wrote(written)
        now.now += 59
        paced.wrote(written)
    (line,) = caplog.messages
    assert "partition 3 wrote 1638400 bytes in 3 tallies" in line
    assert "2 cells of judge versions in queue 'large', criterion 'clear', metric 'brief'" in line
    now.now += 2
    paced.wrote([Written(owned, 0, {b'["evaluations","q","m","2026-11-01"]': tallies}, 9 * BYTES_PER_SECOND)])
    assert "1 days of coverage in queue 'q', metric 'm'" in caplog.messages[-1]
    caplog.clear()
    now.now += 3600
    paced.wrote([Written(owned, 1, tallies, BURST_BYTES)])
    assert not caplog.messages
