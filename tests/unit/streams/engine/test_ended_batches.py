"""A batch changes nothing after the generation in which it was fetched."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from aggregator.facts import QueueItem
from aggregator.policy import Policy
from aggregator.shard import Shard
from streams.engine import engine as engine_module
from streams.engine.checkpoint import Checkpoint
from streams.engine.engine import Engine
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.start import Start
from streams.kafka.batches import Batch
from streams.ledger.claim import Claim
from streams.runtime.health import Health
from streams.runtime.metrics import WorkerMetrics
from tests.unit.streams.engine.test_engine import UNUSED
from tests.unit.streams.engine.test_pace import SentLog

TOPIC = "queue-items"


def partition(number: int) -> OwnedPartition:
    logs: Any = SentLog(), SentLog()
    owned = OwnedPartition(number, Shard(number), *logs)
    owned.claimed(Claim("l", 2, Policy.EACH, 1, "w", 1))
    owned.restored({TP(TOPIC, number): Start(0)})
    return owned


class Applier:
    """Merges queue items, and shows that it has begun."""

    paused = False

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    def apply(self, owned: OwnedPartition, _topic: str, records: Any, _chunks: Any) -> list[Any]:
        assert owned.ready
        for record in records:
            owned.shard.apply(QueueItem(1, "q", f"queue {record.offset}", "item"))
        self.begun.set()
        return []


@pytest.mark.parametrize("stays", [False, True])
async def test_a_batch_that_is_abandoned_changes_nothing_after_its_generation(
    monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    """Its partition may be another worker's by then, or be restored in slices, during which it must not change."""
    monkeypatch.setattr(engine_module, "BATCH_END_SECONDS", 0.0)
    monkeypatch.setattr(engine_module, "MAX_DIRTY_ROWS", 1)

    async def committed() -> bool:
        return True

    group: Any = SimpleNamespace(
        watermarks=lambda _: None, release=lambda _: None, commit_pending=committed, forget=lambda: None
    )
    owned, applier, metrics = OwnedPartitions(), Applier(), WorkerMetrics("0", lambda: ())
    owned.assign({0}, partition)
    owned.begin_generation(1)
    engine = Engine(
        applier=applier,  # type: ignore[arg-type]
        dead_letters=UNUSED,
        group=group,
        health=Health(restored=True),
        metrics=metrics,
        restore=SimpleNamespace(owned=owned),  # type: ignore[arg-type]
        checkpoint=Checkpoint(Policy.EACH, group, metrics, lambda _: None),
        watchdog=UNUSED,
    )
    (first,) = owned
    records: Any = [SimpleNamespace(timestamp=1, offset=offset) for offset in range(200)]
    async with asyncio.timeout(30):
        applying = asyncio.create_task(engine._apply(Batch(TOPIC, 0, 0, 200, records, 1)))
        await applier.begun.wait()
        assert first.shard.dirty, "it waits for a checkpoint"
        await engine.wait_empty()
        owned.assign({0} if stays else set(), partition)
        await applying
    assert not first.shard.dirty
    assert first.positions == {TOPIC: 0}
