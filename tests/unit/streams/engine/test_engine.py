"""The engine when a restore fails or is no longer awaited, when it stops, and while events are slow."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from faust.types import TP

from aggregator.shard import Shard
from streams.engine.engine import LIVE_SECONDS, Engine
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.restore import AssignmentChanged
from streams.engine.start import Start
from streams.kafka.batches import Batch
from streams.runtime.chunks import CHUNK_SECONDS, Chunks
from streams.runtime.health import Health
from tests.unit.streams.runtime.test_chunks import Clock

UNUSED: Any = SimpleNamespace()


def partition(number: int) -> OwnedPartition:
    return OwnedPartition(number, Shard(number), UNUSED, UNUSED)


class Assignments:
    """Group and restore of an engine. Each restore makes partition 0, and ends as it is given.

    `endings`: an exception or None, and the group's generation at that time.
    """

    def __init__(self, *endings: tuple[Exception | None, int]) -> None:
        self.owned = OwnedPartitions()
        self.kept: list[list[OwnedPartition]] = []
        """By restore, the partitions that it began with."""
        self._endings = iter(endings)
        self._generation = 1

    def generation(self) -> int:
        return self._generation

    async def __call__(self, moved: Callable[[], bool]) -> None:
        self.kept.append(list(self.owned))
        self.owned.assign({0}, partition)
        error, self._generation = next(self._endings)
        assert moved() is (self._generation != 1)
        if error is not None:
            raise error

    def forget(self) -> None:
        """Nothing was released."""


def engine(restore: Any) -> Engine:
    return Engine(
        applier=UNUSED,
        dead_letters=UNUSED,
        group=restore,
        health=Health(),
        metrics=SimpleNamespace(recovering=SimpleNamespace(set=lambda _: None)),  # type: ignore[arg-type]
        restore=restore,
        checkpoint=UNUSED,
        watchdog=UNUSED,
    )


async def test_after_a_lost_acknowledgement_the_next_restore_reads_the_shards_from_their_ledgers() -> None:
    """The rows that the failed checkpoint drained are no longer dirty: a kept shard would never write them."""
    assignments = Assignments((KafkaTimeoutError(), 2))
    await engine(assignments)._restore_assignment()
    assert assignments.kept == [[]]
    assert list(assignments.owned) == []


async def test_a_restore_that_the_group_ended_keeps_the_shards_that_it_has_read() -> None:
    assignments = Assignments((AssignmentChanged(), 2))
    await engine(assignments)._restore_assignment()
    (owned,) = assignments.owned
    assert (owned.partition, owned.ready) == (0, False)


async def test_a_missing_acknowledgement_ends_the_worker_while_the_assignment_holds() -> None:
    assignments = Assignments((KafkaTimeoutError(), 1))
    with pytest.raises(KafkaTimeoutError):
        await engine(assignments)._restore_assignment()


async def test_a_complete_restore_begins_the_generation() -> None:
    assignments = Assignments((None, 1))
    await asyncio.wait_for(engine(assignments)._restore_assignment(), 5)
    (owned,) = assignments.owned
    assert (assignments.owned.generation, owned.ready) == (1, True)


@pytest.mark.parametrize("rounds", range(12))
async def test_the_engine_stops_also_while_a_generation_ends(rounds: int) -> None:
    """SIGTERM and the loss of the membership come at any time, here that many rounds of the event loop apart."""
    running = engine(Assignments())
    stopping = asyncio.create_task(running.stop())
    for _ in range(rounds):
        await asyncio.sleep(0)
    revoking = asyncio.create_task(running.wait_empty())
    async with asyncio.timeout(10):
        await asyncio.gather(stopping, revoking, return_exceptions=True)
    assert not stopping.exception()


async def test_events_that_come_in_small_batches_are_live_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild leaves them the time: without it, each would wait for a piece of the rebuild."""
    assignments = Assignments((None, 1))
    running = engine(assignments)
    await running._restore_assignment()
    assert not running._is_live()
    (owned,) = assignments.owned
    owned.restored({TP("evaluations", 0): Start(0)})

    async def apply_part(*_: object) -> None:
        assert running._is_live()

    monkeypatch.setattr(running, "_apply_part", apply_part)
    await running._apply(Batch("evaluations", owned.partition, 0, 1, [], 1))
    assert running._is_live()
    running._batch_ended -= LIVE_SECONDS
    assert not running._is_live()


# Faust may cancel what its recovery awaits.
async def test_a_restore_continues_when_the_task_that_awaits_it_is_cancelled() -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Restoring:
        owned = OwnedPartitions()

        async def __call__(self, _: Any) -> None:
            begun.set()
            await may_end.wait()
            ended.set()

        def generation(self) -> int:
            return 7

    restore = Restoring()
    running = engine(restore)
    waiting = asyncio.create_task(running.restore())
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    (restoring,) = running._tasks
    may_end.set()
    await asyncio.wait_for(restoring, 5)
    assert ended.is_set()
    assert restore.owned.generation == 7


async def test_slow_events_are_applied_in_small_chunks_so_that_heartbeats_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("streams.engine.engine.Chunks", lambda: Chunks(clock))
    owned = OwnedPartitions()
    owned.assign({0}, partition)
    owned.begin_generation(7)
    (only,) = owned
    only.restored({TP("annotations", 0): Start(0)})
    chunks: list[int] = []

    class Applier:
        paused = False

        def apply(self, _owned: OwnedPartition, _topic: str, records: Any, _chunks: Any) -> list[Any]:
            clock.now += CHUNK_SECONDS * len(records)
            chunks.append(len(records))
            return []

    applying = engine(SimpleNamespace(owned=owned))
    applying._applier = Applier()  # type: ignore[assignment]
    heartbeats: list[int] = []

    async def heartbeat() -> None:
        while True:
            heartbeats.append(len(chunks))
            await asyncio.sleep(0)

    beating = asyncio.create_task(heartbeat())
    records: Any = [SimpleNamespace(timestamp=1)] * 500
    await applying._apply(Batch("annotations", 0, 0, 500, records, 7))
    beating.cancel()
    assert sum(chunks) == len(records)
    assert set(chunks[1:]) == {1}
    assert heartbeats == sorted(set(heartbeats)), "another task runs after every chunk"
    assert len(heartbeats) >= len(chunks)
