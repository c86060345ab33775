"""A partition with many tallies is read in slices: it does not change meanwhile, and everything else goes on."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.policy import Policy
from aggregator.shard import Shard
from streams.engine.checkpoint import Checkpoint
from streams.engine.engine import Engine
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.start import Start
from streams.kafka.batches import Batch
from streams.runtime import slices
from streams.runtime.health import Health
from tests.support.partitions import drain
from tests.unit.streams.engine.test_engine import UNUSED

AT = 1_780_000_000_000
SOURCE = "evaluations"
FACTS: list[Fact] = [
    *(Annotation(AT, f"a{n}", "q", "i", criterion=f"c{n}", thumbs="up") for n in range(20)),
    *(Evaluation(AT, f"e{n}", "i", f"m{n}", passed=True) for n in range(20)),
]
LATER: list[Fact] = [Evaluation(AT + 1, f"f{n}", "i", f"m{n}", passed=False) for n in range(20)]


def partition(number: int) -> OwnedPartition:
    owned = OwnedPartition(number, Shard(number), UNUSED, UNUSED)
    owned.restored({TP(SOURCE, number): Start(10)})
    if number == 0:
        for fact in FACTS:
            owned.shard.apply(fact)
        owned.applied()
    return owned


class Applier:
    """Merges evaluations."""

    circuit_breaker = None
    paused = False

    def apply(self, owned: OwnedPartition, _topic: str, records: Any, _chunks: Any) -> list[Any]:
        assert not owned.frozen
        for record in records:
            owned.shard.apply(record.fact)
        return []


class Worker:
    """Two partitions, of which the first has changed."""

    def __init__(self) -> None:
        self.owned = OwnedPartitions()
        self.owned.assign({0, 1}, partition)
        self.owned.begin_generation(7)
        group: Any = SimpleNamespace(watermarks=lambda _: None)
        self.checkpoint = Checkpoint(Policy.EACH, group, UNUSED, lambda _: None)
        self.engine = Engine(
            applier=Applier(),  # type: ignore[arg-type]
            dead_letters=UNUSED,
            group=UNUSED,
            health=Health(restored=True),
            metrics=UNUSED,
            restore=SimpleNamespace(owned=self.owned),  # type: ignore[arg-type]
            checkpoint=self.checkpoint,
            watchdog=UNUSED,
        )

    async def apply(self, number: int) -> None:
        records: Any = [SimpleNamespace(timestamp=1, fact=fact) for fact in LATER]
        await self.engine._apply(Batch(SOURCE, number, 10, 30, records, 7))


async def test_a_checkpoint_takes_one_moment_of_a_partition_while_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_SECONDS", -1.0)
    worker = Worker()
    first, second = worker.owned
    expected = drain(partition(0))
    drained = asyncio.create_task(worker.checkpoint._drain(first))
    await asyncio.sleep(0)
    assert first.frozen
    same = asyncio.create_task(worker.apply(0))
    await worker.apply(1)
    assert (second.shard.rows, second.positions) == (20, {SOURCE: 30})
    assert not same.done() and not drained.done(), "the other partition went on meanwhile"
    part = await drained
    assert part is not None
    assert (part.drained.delta, part.drained.positions) == (expected.delta, {TP(SOURCE, 0): 10})
    await same
    assert first.positions == {SOURCE: 30}
    published = part.drained.delta.tallies | drain(first).delta.tallies
    assert published == {**dict(first.shard.tallies())}


async def test_few_tallies_are_taken_without_an_await(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_SECONDS", 3600.0)
    worker = Worker()
    first, _ = worker.owned
    ran: list[bool] = []
    asyncio.get_running_loop().call_soon(lambda: ran.append(True))
    assert await worker.checkpoint._drain(first) is not None
    assert not ran


async def test_a_shard_thaws_after_a_failure() -> None:
    first, _ = Worker().owned
    with pytest.raises(RuntimeError), first.freeze():
        raise RuntimeError
    async with asyncio.timeout(30):
        await first.thawed()
