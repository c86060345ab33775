"""Evaluations wait on a worker's disk until their item is known: on a real broker, over kills and a lost disk."""

import shutil
import signal
from collections.abc import Sequence

import pytest

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, key
from aggregator.recount import winners
from streams.ledger.claim import CLAIM_KEY
from tests.integration.streams.rig import Rig, WorkerProcess

AT = 1_780_000_000_000
ITEMS = 60

pytestmark = pytest.mark.slow


def evaluations() -> list[Fact]:
    """Two verdicts of each item, a correction and a failure among them."""
    facts: list[Fact] = []
    for index in range(ITEMS):
        item = f"item-{index}"
        facts.append(Evaluation(AT + index, f"e{index}", item, "relevance", judge="v1", passed=index % 3 == 0))
        facts.append(Evaluation(AT + index, f"s{index}", item, "safe", passed=index % 2 == 0))
        if index % 5 == 0:
            facts.append(Evaluation(AT + index + 1, f"c{index}", item, "safe", passed=index % 2 == 1))
        if index % 7 == 0:
            facts.append(Evaluation(AT + index, f"x{index}", item, "tone", status="error"))
    return facts


def people(first: int, last: int) -> list[Fact]:
    """Annotations of these items; every third is put into a queue instead."""
    return [
        QueueItem(AT, f"q{index}", "support", f"item-{index}")
        if index % 3 == 2
        else Annotation(AT, f"a{index}", "support", f"item-{index}", thumbs="up" if index % 2 else "down")
        for index in range(first, last)
    ]


async def verified(rig: Rig, facts: Sequence[Fact]) -> None:
    """Wait until the tallies are a recount of all facts; then the rows are the winners of known items."""
    await rig.settled()
    await rig.until("the tallies are a recount", lambda: rig.matches(facts))
    known = {fact.item for fact in facts if not isinstance(fact, Evaluation)}
    rows = {record.key for record in await rig.read(rig.topics.facts) if record.key != CLAIM_KEY}
    assert rows == {key(fact) for fact in winners(facts).values() if fact.item in known}


async def started(
    rig: Rig, name: str = "w1", *, waiting: str = "w1", kill_at: tuple[str, int] | None = None
) -> WorkerProcess:
    worker = rig.worker(name, waiting=waiting, kill_at=kill_at)
    await rig.restored(worker)
    return worker


async def test_evaluations_count_once_their_item_is_known(rig: Rig) -> None:
    worker = await started(rig)
    await rig.produce(evaluations())
    await rig.settled()
    assert not [record for record in await rig.read(rig.topics.facts) if record.key != CLAIM_KEY]
    await rig.produce(people(0, 30))
    await verified(rig, [*evaluations(), *people(0, 30)])
    await rig.produce(people(30, 50))
    await verified(rig, [*evaluations(), *people(0, 50)])
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    assert worker.counters()["eval_alignment_waiting_stored"] == len(evaluations())


async def test_a_killed_worker_reads_what_its_disk_lacks_again(rig: Rig) -> None:
    worker = await started(rig)
    await rig.produce(evaluations())
    await rig.produce(people(0, 10))
    await verified(rig, [*evaluations(), *people(0, 10)])
    worker.kill()
    await rig.produce(people(10, 20))
    worker = await started(rig)
    await verified(rig, [*evaluations(), *people(0, 20)])
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    again = await started(rig)
    await rig.produce(people(20, 40))
    await verified(rig, [*evaluations(), *people(0, 40)])
    assert "reading" not in again.text(), "a worker that stopped in order lacks nothing"


@pytest.mark.parametrize("step", ["rows appended", "tallies published", "flushed"])
async def test_a_worker_that_is_killed_between_two_steps_loses_nothing(rig: Rig, step: str) -> None:
    worker = await started(rig, kill_at=(step, 1 if step == "flushed" else 4))
    await rig.produce(evaluations())
    await rig.produce(people(0, 20))
    if step == "flushed":
        await rig.settled()
        worker.signal(signal.SIGTERM)
    assert await worker.ended() == -signal.SIGKILL
    await started(rig)
    await rig.produce(people(20, 30))
    await verified(rig, [*evaluations(), *people(0, 30)])


async def test_a_wiped_directory_is_built_again_from_the_topic(rig: Rig) -> None:
    worker = await started(rig)
    await rig.produce(evaluations())
    await rig.settled()
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    shutil.rmtree(rig.directory / "w1")
    await started(rig)
    await rig.produce(people(0, 40))
    await verified(rig, [*evaluations(), *people(0, 40)])


async def test_another_worker_takes_over_what_waits(rig: Rig) -> None:
    worker = await started(rig)
    await rig.produce(evaluations())
    await rig.produce(people(0, 10))
    await verified(rig, [*evaluations(), *people(0, 10)])
    await started(rig, "w2", waiting="w2")
    await rig.produce(people(10, 30))
    await verified(rig, [*evaluations(), *people(0, 30)])
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    await rig.produce(people(30, 60))
    await verified(rig, [*evaluations(), *people(0, 60)])


async def test_a_ledger_with_rows_of_unknown_items_goes_on_with_them(rig: Rig) -> None:
    """As of a release in which every evaluation was a row."""
    worker = rig.worker()
    await rig.restored(worker)
    await rig.produce(evaluations()[:50])
    await rig.settled()
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    ends = await rig.ends(rig.topics.facts)
    again = await started(rig)
    await rig.produce(evaluations()[50:])
    await rig.settled()
    assert sum((await rig.ends(rig.topics.facts)).values()) == sum(ends.values()) + rig.partitions, "claims only"
    await rig.produce(people(0, 60))
    await rig.settled()
    await rig.until("a recount", lambda: rig.matches([*evaluations(), *people(0, 60)]))
    assert "reading" not in again.text(), "the ledger has everything that was processed before"


async def test_a_worker_that_would_not_look_for_them_does_not_take_over(rig: Rig) -> None:
    worker = await started(rig)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    other = rig.worker()
    assert await other.ended() == 64
    assert "wait_days" in other.text()
