"""What the engine does with a restore that fails half-way or is no longer awaited, and when it is stopped."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError

from streams.engine.engine import Engine
from streams.engine.restore import AssignmentChanged
from streams.runtime.health import Health

NOTHING: Any = SimpleNamespace()


class Assignments:
    """Group and restore of an engine: each restore gives the partition's shard something, and ends as it was told."""

    def __init__(self, *endings: tuple[Exception | None, int]) -> None:
        """An exception or None, and the group's generation by then."""
        self.owned: dict[int, Any] = {}
        self.found: list[dict[int, Any]] = []
        self._endings = iter(endings)
        self._generation = 1

    def generation(self) -> int:
        return self._generation

    async def __call__(self, moved: Any) -> None:
        self.found.append(dict(self.owned))
        self.owned.setdefault(0, SimpleNamespace(ready=False, shard=SimpleNamespace(rows=1)))
        error, self._generation = next(self._endings)
        assert moved() is (self._generation != 1)
        if error is not None:
            raise error

    def forget(self) -> None:
        """Nothing was released."""


def engine(told: Assignments) -> Engine:
    metrics: Any = SimpleNamespace(recovering=SimpleNamespace(set=lambda _: None))
    group: Any = told
    return Engine(
        applier=NOTHING,
        dead_letters=NOTHING,
        group=group,
        health=Health(),
        metrics=metrics,
        restore=group,
        checkpoint=NOTHING,
        watchdog=NOTHING,
    )


async def test_after_a_lost_acknowledgement_the_next_restore_starts_from_the_ledger() -> None:
    """What the failed checkpoint took is dirty no more, and may not be written: a shard that is kept would lose it."""
    told = Assignments((KafkaTimeoutError(), 2))
    await engine(told)._restore_assignment()
    assert told.found == [{}]
    assert told.owned == {}, "no shard of it is kept"


async def test_a_restore_that_was_given_up_keeps_what_it_has_read() -> None:
    told = Assignments((AssignmentChanged(), 2))
    await engine(told)._restore_assignment()
    assert list(told.owned) == [0]
    assert not told.owned[0].ready


async def test_a_broker_that_does_not_acknowledge_ends_the_worker_while_the_assignment_stands() -> None:
    told = Assignments((KafkaTimeoutError(), 1))
    with pytest.raises(KafkaTimeoutError):
        await engine(told)._restore_assignment()


async def test_a_restore_that_ends_well_starts_the_generation() -> None:
    told = Assignments((None, 1))
    running = engine(told)
    await asyncio.wait_for(running._restore_assignment(), 5)
    assert running.generation == 1
    assert told.owned[0].ready


@pytest.mark.parametrize("rounds", range(12))
async def test_the_engine_stops_while_a_generation_ends(rounds: int) -> None:
    """SIGTERM and the loss of the membership come when they like, here that many rounds of the loop apart."""
    running = engine(Assignments())
    stopping = asyncio.create_task(running.stop())
    for _ in range(rounds):
        await asyncio.sleep(0)
    revoking = asyncio.create_task(running.wait_empty())
    async with asyncio.timeout(10):
        await asyncio.gather(stopping, revoking, return_exceptions=True)
    assert not stopping.exception()


# Faust may cancel whatever its recovery awaits.
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
