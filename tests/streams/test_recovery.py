"""Workers that are killed, stopped, paused and doubled on a real Apache Kafka: the counts stay those of a recount."""

import asyncio
import random
import signal

import pytest

from aggregator.facts import Fact, encode, key
from streams.failures import Failure
from tests.streams.rig import Rig, WorkerProcess, history

RESTORE_STEPS = ("assigned", "ledger read", "claimed", "compared", "restored")
CHECKPOINT_STEPS = ("taken", "rows appended", "tallies published", "positions released")


async def test_a_kill_at_every_step_changes_nothing(rig: Rig) -> None:
    facts = history(seed=2, events=20_000)
    # The first checkpoint is the restore's own, the second one of live events.
    steps = [(step, 1) for step in RESTORE_STEPS] + [(step, 2) for step in CHECKPOINT_STEPS]
    share = len(facts) // (len(steps) + 1)
    for index, step in enumerate(steps):
        await rig.produce(facts[index * share : (index + 1) * share])
        worker = rig.worker(kill_at=step)
        assert await worker.ended() == -signal.SIGKILL, worker.text()
    await rig.produce(facts[len(steps) * share :])
    rig.worker()
    await rig.settled()
    await rig.verify(facts)


async def test_two_workers_killed_at_random_moments_change_nothing(rig: Rig) -> None:
    facts = history(seed=3, events=40_000)
    rng = random.Random(3)
    workers = {name: rig.worker(name) for name in ("a", "b")}
    share = len(facts) // 8
    for part in range(8):
        await rig.produce(facts[part * share : (part + 1) * share])
        # A random moment: nothing to wait for.
        await asyncio.sleep(rng.random() * 1.2)
        if part % 2:
            name = rng.choice(("a", "b"))
            workers[name].kill()
            workers[name] = rig.worker(name)
    await rig.produce(facts[8 * share :])
    await rig.settled()
    await rig.verify(facts)
    for worker in workers.values():
        assert worker.process.poll() is None
        worker.signal(signal.SIGTERM)
    assert [await worker.ended() for worker in workers.values()] == [0, 0]


async def test_a_terminated_worker_leaves_nothing_to_be_processed_again(rig: Rig) -> None:
    facts = history(seed=5, events=40_000) * 4
    await rig.produce(facts)
    first = rig.worker()
    await rig.writing()
    first.signal(signal.SIGTERM)
    assert await first.ended(10.0) == 0
    assert sum((await rig.committed()).values()) == first.processed()
    assert 0 < first.processed() < len(facts), "it was stopped under load"
    second = rig.worker()
    await rig.settled()
    second.signal(signal.SIGINT)
    assert await second.ended(10.0) == 0
    assert first.processed() + second.processed() == len(facts)
    await rig.verify(facts)


@pytest.mark.parametrize("moment", [0.0, 0.6, 1.2])
async def test_a_worker_can_be_terminated_while_it_starts(rig: Rig, moment: float) -> None:
    worker = rig.worker()

    async def begun() -> bool:
        return "Starting..." in worker.text()

    await rig.until("begun", begun)
    # Any moment of the start: nothing to wait for.
    await asyncio.sleep(moment)
    worker.signal(signal.SIGTERM)
    assert await worker.ended(10.0) == 0, worker.text()


async def test_a_paused_worker_that_wakes_up_again_changes_nothing(rig: Rig) -> None:
    facts = history(seed=7, events=40_000)
    half = len(facts) // 2
    await rig.produce(facts[:half])
    workers = {"zombie": rig.worker("zombie")}
    await rig.writing()
    workers["zombie"].signal(signal.SIGSTOP)
    zombie = workers["zombie"]
    workers["heir"] = rig.worker("heir")
    await rig.settled()
    zombie.signal(signal.SIGCONT)
    await rig.produce(facts[half:])

    async def settled_under_a_supervisor() -> bool:
        _restart_ended(rig, workers)
        return await rig.committed() == await rig.ends(*rig.topics.sources)

    await rig.until("settled", settled_under_a_supervisor)
    await rig.verify(facts)
    ended = [worker.process.poll() for worker in rig.workers]
    assert set(ended) <= {None, Failure.ANOTHER_WRITER.value.code}, [worker.text()[-1000:] for worker in rig.workers]


def _restart_ended(rig: Rig, workers: dict[str, WorkerProcess]) -> None:
    for name, worker in workers.items():
        if worker.process.poll() is not None:
            workers[name] = rig.worker(name)


async def test_another_writer_is_found_while_nothing_is_written_and_its_row_is_repaired(rig: Rig) -> None:
    facts = history(seed=11, events=2_000, items=50)
    await rig.produce(facts)
    worker = rig.worker()
    await rig.settled()
    stale, partition = await _superseded(rig, facts)
    await rig.send([(rig.topics.facts, key(stale), encode(stale))], partition=partition)
    assert await worker.ended(10.0) == Failure.ANOTHER_WRITER.value.code
    again = rig.worker()
    await rig.restored(again)
    # Committed already: the repair is in the log once the worker is restored.
    await rig.verify(facts)
    assert "repairing 1 rows" in again.text()


async def _superseded(rig: Rig, facts: list[Fact]) -> tuple[Fact, int]:
    """A fact that lost against a later version, and the ledger partition of its row."""
    places = {record.key: record for record in await rig.read(rig.topics.facts)}
    for fact in facts:
        place = places[key(fact)]
        if encode(fact) != place.value:
            return fact, place.partition
    raise AssertionError("no fact lost")
