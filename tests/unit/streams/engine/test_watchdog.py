"""The guard sees that the broker is away although a checkpoint waits for it, with the lock."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.engine import watchdog
from streams.engine.watchdog import Watchdog
from streams.runtime.health import Health
from tests.support.waiting import eventually


async def test_a_checkpoint_that_waits_for_the_broker_does_not_block_the_watchdog(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog, "WATCHDOG_SECONDS", 0.02)
    answers = [False]

    async def end_offsets(_: Any, partitions: Any) -> dict[Any, int]:
        if not answers[0]:
            raise TimeoutError
        return dict.fromkeys(partitions, 7)

    monkeypatch.setattr(watchdog, "end_offsets", end_offsets)
    expected: list[int] = []
    log = SimpleNamespace(tp="facts-0", expect=expected.append)
    owned: Any = {0: SimpleNamespace(ready=True, ledger=log, tallies=log, sources=dict)}
    group: Any = SimpleNamespace(membership=lambda: (3, True), commits=lambda: 0)
    health, lock = Health(restored=True), asyncio.Lock()
    looking = Watchdog("facts", owned, group, None, True, health, SimpleNamespace(rows=0))  # type: ignore[arg-type]
    task = asyncio.create_task(looking.run(lock))
    try:
        await lock.acquire()
        await eventually(lambda: not health.ready)
        answers[0] = True
        await eventually(lambda: health.ready)
        assert expected == [], "nothing is compared while something is being written"
        lock.release()
        await eventually(lambda: expected)
        assert expected[0] == 7
        assert not task.done()
    finally:
        task.cancel()


def test_membership_that_ended_is_seen_without_a_fetch() -> None:
    group = SimpleNamespace(membership=lambda: (3, False))
    guard = Watchdog("facts", {}, group, None, True, Health(), None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="keeps the membership has ended"):
        guard._look_at_worker()
