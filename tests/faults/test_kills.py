"""Rows 1 to 5: workers that are killed, stopped, paused, doubled and added on a real Apache Kafka."""

import asyncio
import random
import signal
import time
from collections.abc import Callable

import pytest

from aggregator.facts import Fact, encode, key
from streams.runtime.exit_codes import ExitCode
from tests.faults.judging import clean, judged
from tests.faults.load import Load
from tests.integration.streams.rig import Rig, WorkerProcess, history

RESTORE_STEPS = ("assigned", "ledger read", "claimed", "compared", "restored")
CHECKPOINT_STEPS = ("drained", "rows appended", "tallies published", "positions released")
# The first checkpoint is the restore's own, the second one of live events.
STEPS = [(step, 1) for step in RESTORE_STEPS] + [(step, 2) for step in CHECKPOINT_STEPS]
AGAIN_SECONDS = 15.0
DRAIN_SECONDS = 10.0
SIZE_SECONDS = 10.0
# The row promises no time, and five interpreters start.
CHANGED_SECONDS = 120.0

Measure = Callable[..., None]


async def caught_up(rig: Rig, since: float, seconds: float = AGAIN_SECONDS) -> float:
    """Wait until all events that wait now are committed; returns the seconds since `since`, which are limited."""
    ends = await rig.ends(*rig.topics.sources)

    async def done() -> bool:
        committed = await rig.committed()
        return all(committed[tp] >= end for tp, end in ends.items())

    await rig.until("what waited is committed", done, since + seconds - time.monotonic())
    return time.monotonic() - since


# ---- 1. and 3.


@pytest.mark.row(1, 3)
@pytest.mark.faults
async def test_row_01_twenty_kills_of_two_workers_under_load(rig: Rig, measured: Measure) -> None:
    rng = random.Random(3)
    names = ("a", "b")
    workers = {name: rig.worker(name) for name in names}
    for worker in workers.values():
        await rig.restored(worker)
    took: list[float] = []
    kills = 0
    async with Load(rig) as load:
        for number, step in enumerate((*STEPS, None, None)):
            # A random moment: no event marks it.
            await asyncio.sleep(rng.random())
            name = names[number % 2]
            workers[name].kill()
            kills += 1
            if step is not None:
                dying = rig.worker(name, kill_at=step)
                assert await dying.ended() == -signal.SIGKILL, dying.text()
                kills += 1
            died_at = time.monotonic()
            workers[name] = rig.worker(name)
            took.append(await caught_up(rig, died_at))
    assert kills == 20
    verdict = await judged(rig)
    assert verdict.events == load.sent
    for worker in workers.values():
        worker.signal(signal.SIGTERM)
    assert [await worker.ended() for worker in workers.values()] == [0, 0]
    clean(rig.workers)
    measured(f"{kills} kills, {verdict.events} events, {verdict.states} published states counted")
    measured("all that waited at a kill committed after at most", max(took))


@pytest.mark.slow
@pytest.mark.row(3)
async def test_row_03_a_kill_at_every_step_of_restore_and_checkpoint(rig: Rig, measured: Measure) -> None:
    facts = history(seed=2, events=20_000)
    share = len(facts) // (len(STEPS) + 1)
    for index, step in enumerate(STEPS):
        await rig.produce(facts[index * share : (index + 1) * share])
        worker = rig.worker(kill_at=step)
        assert await worker.ended() == -signal.SIGKILL, worker.text()
    await rig.produce(facts[len(STEPS) * share :])
    rig.worker()
    verdict = await judged(rig)
    assert verdict.events == len(facts)
    await rig.verify(facts)
    clean(rig.workers)
    measured(f"{len(STEPS)} steps, {verdict.events} events, {verdict.states} published states counted")


# ---- 2.


@pytest.mark.row(2)
async def test_row_02_a_terminated_worker_leaves_nothing_to_be_processed_again(rig: Rig, measured: Measure) -> None:
    facts = history(seed=5, events=40_000) * 4
    await rig.produce(facts)
    first = rig.worker()
    await rig.writing()
    asked_at = time.monotonic()
    first.signal(signal.SIGTERM)
    assert await first.ended(DRAIN_SECONDS) == 0
    measured("drained in", time.monotonic() - asked_at)
    assert sum((await rig.committed()).values()) == first.processed()
    assert 0 < first.processed() < len(facts), "it was stopped under load"
    second = rig.worker()
    await rig.settled()
    second.signal(signal.SIGINT)
    assert await second.ended(DRAIN_SECONDS) == 0
    assert first.processed() + second.processed() == len(facts)
    await rig.verify(facts)
    clean(rig.workers)


@pytest.mark.row(2)
@pytest.mark.faults
async def test_row_02_workers_terminated_in_turn_redeliver_nothing(rig: Rig, measured: Measure) -> None:
    names = ("a", "b")
    workers = {name: rig.worker(name) for name in names}
    for worker in workers.values():
        await rig.restored(worker)
    drains: list[float] = []
    async with Load(rig) as load:
        for name in names * 3:
            await caught_up(rig, time.monotonic())
            asked_at = time.monotonic()
            workers[name].signal(signal.SIGTERM)
            assert await workers[name].ended(DRAIN_SECONDS) == 0, workers[name].text()
            drains.append(time.monotonic() - asked_at)
            workers[name] = rig.worker(name)
            await rig.restored(workers[name])
    verdict = await judged(rig)
    for worker in workers.values():
        worker.signal(signal.SIGTERM)
        assert await worker.ended(DRAIN_SECONDS) == 0
    processed = sum(worker.processed() for worker in rig.workers)
    assert processed == load.sent == verdict.events
    clean(rig.workers)
    measured(f"{len(drains)} stops, {processed} of {verdict.events} events processed, drained in at most", max(drains))


@pytest.mark.row(2)
@pytest.mark.parametrize("moment", [0.0, *(pytest.param(each, marks=pytest.mark.slow) for each in (0.6, 1.2))])
async def test_row_02_a_worker_can_be_terminated_while_it_starts(rig: Rig, moment: float) -> None:
    worker = rig.worker()

    async def begun() -> bool:
        return "Starting..." in worker.text()

    await rig.until("begun", begun)
    # Any moment of the start: no event marks it.
    await asyncio.sleep(moment)
    worker.signal(signal.SIGTERM)
    assert await worker.ended(DRAIN_SECONDS) == 0, worker.text()


@pytest.mark.row(2)
async def test_row_02_a_worker_ends_although_faust_hangs(rig: Rig) -> None:
    worker = rig.worker(inject="the_end_hangs")
    await rig.produce(history(seed=3, events=500))
    await rig.settled()
    worker.signal(signal.SIGUSR1)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0, worker.text()
    assert "drained: the last checkpoint is written and committed" in worker.text()


# ---- 4.


@pytest.mark.row(4)
@pytest.mark.faults
async def test_row_04_a_paused_worker_that_resumes_changes_nothing(rig: Rig, measured: Measure) -> None:
    facts = history(seed=7, events=40_000)
    half = len(facts) // 2
    await rig.produce(facts[:half])
    workers = {"zombie": rig.worker("zombie")}
    await rig.writing()
    workers["zombie"].signal(signal.SIGSTOP)
    paused_at = time.monotonic()
    zombie = workers["zombie"]
    workers["heir"] = rig.worker("heir")
    await rig.settled()
    measured("the heir had processed all that waited after", time.monotonic() - paused_at)
    zombie.signal(signal.SIGCONT)
    await rig.produce(facts[half:])

    async def settled_under_a_supervisor() -> bool:
        for name, worker in workers.items():
            if worker.process.poll() is not None:
                workers[name] = rig.worker(name)
        return await rig.committed() == await rig.ends(*rig.topics.sources)

    await rig.until("settled", settled_under_a_supervisor)
    verdict = await judged(rig)
    assert verdict.events == len(facts)
    await rig.verify(facts)
    # It had drained rows when it was paused, and finds its successor's records when it writes them.
    assert await zombie.ended() == ExitCode.ANOTHER_WRITER.code, zombie.text()[-3000:]
    ended = [worker.process.poll() for worker in rig.workers]
    assert set(ended) <= {None, ExitCode.ANOTHER_WRITER.code}, [worker.text()[-1000:] for worker in rig.workers]
    endings = sum(code is not None for code in ended)
    measured(f"{endings} workers found another writer and ended; {verdict.states} published states counted")


@pytest.mark.row(4)
async def test_row_04_another_writer_is_found_when_idle_and_its_row_is_repaired(rig: Rig, measured: Measure) -> None:
    facts = history(seed=11, events=2_000, items=50)
    await rig.produce(facts)
    worker = rig.worker()
    await rig.settled()
    stale, partition = await superseded(rig, facts)
    wrote_at = time.monotonic()
    await rig.send([(rig.topics.facts, key(stale), encode(stale))], partition=partition)
    assert await worker.ended(10.0) == ExitCode.ANOTHER_WRITER.code
    measured("found after", time.monotonic() - wrote_at)
    again = rig.worker()
    await rig.restored(again)
    # It is committed already: the repair is in the log once the worker is restored.
    await rig.verify(facts)
    await judged(rig)
    assert "repairing 1 ledger rows" in again.text()


async def superseded(rig: Rig, facts: list[Fact]) -> tuple[Fact, int]:
    """A fact that lost against a later version, and the ledger partition of its row."""
    places = {record.key: record for record in await rig.read(rig.topics.facts)}
    for fact in facts:
        place = places[key(fact)]
        if encode(fact) != place.value:
            return fact, place.partition
    raise AssertionError("no fact lost")


# ---- 5.


@pytest.mark.row(5)
@pytest.mark.faults
async def test_row_05_workers_come_and_go_under_load(rig: Rig, measured: Measure) -> None:
    workers: list[WorkerProcess] = []
    took: list[float] = []
    async with Load(rig) as load:
        for size in (1, 3, 2, 5, 1):
            changed_at = time.monotonic()
            leaving, workers = workers[size:], workers[:size]
            for worker in leaving:
                worker.signal(signal.SIGTERM)
            assert [await worker.ended(DRAIN_SECONDS) for worker in leaving] == [0] * len(leaving)
            workers += [rig.worker(f"w{number}") for number in range(len(workers), size)]
            for worker in workers:
                await rig.restored(worker)
            took.append(await caught_up(rig, changed_at, CHANGED_SECONDS))
            # The row fixes the duration: no event ends it.
            await asyncio.sleep(max(1.0, changed_at + SIZE_SECONDS - time.monotonic()))
    verdict = await judged(rig)
    assert verdict.events == load.sent
    clean(rig.workers)
    claims = sum(record.key == b'["claim"]' for record in await rig.read(rig.topics.facts))
    assert claims > rig.partitions, "partitions moved"
    measured(f"{claims} take-overs, {verdict.events} events, {verdict.states} published states counted")
    measured("all that waited at a change committed after at most", max(took))
