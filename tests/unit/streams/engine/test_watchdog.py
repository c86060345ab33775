"""The watchdog while a checkpoint waits for an unavailable broker, and when the membership has ended."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from aggregator.shard import Shard
from streams.engine import watchdog
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.watchdog import Watchdog
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from streams.runtime.health import Health
from tests.support.waiting import eventually

UNUSED: Any = None


async def test_the_watchdog_reports_the_broker_while_a_checkpoint_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "WATCHDOG_SECONDS", 0.02)
    available = asyncio.Event()

    async def end_offsets(_: Any, partitions: Any) -> dict[Any, int]:
        if not available.is_set():
            raise TimeoutError
        return dict.fromkeys(partitions, 7)

    monkeypatch.setattr(watchdog, "end_offsets", end_offsets)
    compared: list[int] = []
    log: Any = SimpleNamespace(tp="facts-0", expect=compared.append)
    owned = OwnedPartitions()
    owned.assign({0}, lambda number: OwnedPartition(number, Shard(number), log, log))
    owned.begin_generation(3)
    group: Any = SimpleNamespace(membership=lambda: (3, True), commits=lambda: 0)
    health, lock = Health(restored=True), asyncio.Lock()
    task = asyncio.create_task(Watchdog("facts", owned, group, UNUSED, True, health).run(lock))
    try:
        await lock.acquire()
        await eventually(lambda: not health.ready)
        available.set()
        await eventually(lambda: health.ready)
        assert compared == [], "end offsets are not compared during a write"
        lock.release()
        await eventually(lambda: compared)
        assert compared[0] == 7
        assert not task.done()
    finally:
        task.cancel()


def test_the_watchdog_ends_a_worker_whose_membership_task_has_ended() -> None:
    group: Any = SimpleNamespace(membership=lambda: (3, False))
    checked = Watchdog("facts", OwnedPartitions(), group, UNUSED, True, Health())
    with pytest.raises(FatalError, match="keeps the group membership has ended") as failure:
        checked._check_progress()
    assert failure.value.exit_code is ExitCode.STALLED
