"""Rows 45 to 53: evaluations wait on a worker's disk until their item is known, over faults of both.

On Apache Kafka. The tests of the store itself are in tests/unit/streams/waiting.
"""

import contextlib
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import orjson
import pytest
from aiokafka.admin import RecordsToDelete

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, key
from aggregator.recount import winners
from aggregator.tallies import MARKER_KEY
from streams.kafka import topics as topic_table
from streams.ledger.claim import CLAIM_KEY
from streams.waiting.directory import StoreDirectory
from tests.integration.streams.rig import Rig, WorkerProcess
from tests.support.requirements import Requirements
from tests.support.rocks_stores import damage_positions, damage_rows
from tests.support.small_disks import fill, mounted, read_only

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
    rig: Rig,
    name: str = "w1",
    *,
    waiting: str = "w1",
    kill_at: tuple[str, int] | None = None,
    inject: str | None = None,
) -> WorkerProcess:
    worker = rig.worker(name, waiting=waiting, kill_at=kill_at, inject=inject)
    await rig.restored(worker)
    return worker


async def stopped(worker: WorkerProcess) -> None:
    """Stop a worker in good order."""
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0, worker.text()[-3000:]


async def test_evaluations_count_once_their_item_is_known(rig: Rig) -> None:
    worker = await started(rig)
    await rig.produce(evaluations())
    await rig.settled()
    assert not [record for record in await rig.read(rig.topics.facts) if record.key != CLAIM_KEY]
    await rig.produce(people(0, 30))
    await verified(rig, [*evaluations(), *people(0, 30)])
    await rig.produce(people(30, 50))
    await verified(rig, [*evaluations(), *people(0, 50)])
    await stopped(worker)
    assert worker.counters()["eval_alignment_waiting_stored"] == len(evaluations())


@pytest.mark.row(48)
async def test_a_killed_worker_reads_what_its_disk_lacks_again(rig: Rig) -> None:
    worker = await started(rig)
    await rig.produce(evaluations())
    await rig.produce(people(0, 10))
    await verified(rig, [*evaluations(), *people(0, 10)])
    worker.kill()
    await rig.produce(people(10, 20))
    worker = await started(rig)
    await verified(rig, [*evaluations(), *people(0, 20)])
    await stopped(worker)
    again = await started(rig)
    await rig.produce(people(20, 40))
    await verified(rig, [*evaluations(), *people(0, 40)])
    assert "reading" not in again.text(), "a worker that stopped in order lacks nothing"


@pytest.mark.row(48)
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


def wiped(directory: Path) -> None:
    shutil.rmtree(directory)


@pytest.mark.row(47)
@pytest.mark.parametrize("damage", [wiped, damage_rows, damage_positions], ids=lambda damage: damage.__name__)
async def test_a_damaged_or_wiped_directory_is_built_again_from_the_topic(
    rig: Rig, damage: Callable[[Path], None]
) -> None:
    worker = await started(rig)
    await rig.produce(evaluations())
    await rig.settled()
    await stopped(worker)
    damage(rig.directory / "w1")
    await started(rig)
    await rig.produce(people(0, 40))
    await verified(rig, [*evaluations(), *people(0, 40)])


@pytest.mark.row(49)
async def test_another_worker_takes_over_what_waits(rig: Rig) -> None:
    """First some partitions, then all of them, after the first worker and its disk are lost."""
    worker = await started(rig)
    await rig.produce(evaluations())
    await rig.produce(people(0, 10))
    await verified(rig, [*evaluations(), *people(0, 10)])
    await started(rig, "w2", waiting="w2")
    await rig.produce(people(10, 30))
    await verified(rig, [*evaluations(), *people(0, 30)])
    worker.kill()
    shutil.rmtree(rig.directory / "w1")
    await rig.produce(people(30, 60))
    await verified(rig, [*evaluations(), *people(0, 60)])


@pytest.mark.row(50)
async def test_what_a_paused_worker_has_on_its_disk_is_true_and_settles_nothing(rig: Rig) -> None:
    zombie = await started(rig, "zombie", waiting="zombie")
    await rig.produce(evaluations()[:80])
    await rig.produce(people(0, 10))
    await rig.settled()
    zombie.signal(signal.SIGSTOP)
    heir = rig.worker("heir", waiting="heir")
    await rig.produce(evaluations()[80:])
    await rig.produce(people(10, 30))
    await verified(rig, [*evaluations(), *people(0, 30)])
    zombie.signal(signal.SIGCONT)
    await rig.produce(people(30, 40))
    await rig.until("everything is committed", lambda: all_committed_by(rig, zombie))
    await stopped(heir)
    if zombie.process.poll() is None:
        await stopped(zombie)
    # Alone again, on the disk of the zombie: it looks up what became known meanwhile.
    await started(rig, "zombie", waiting="zombie")
    await rig.produce(people(40, 60))
    await verified(rig, [*evaluations(), *people(0, 60)])


async def all_committed_by(rig: Rig, zombie: WorkerProcess) -> bool:
    """Whether everything is committed, and the zombie ended only because it met another writer."""
    assert zombie.process.poll() in (None, 72), zombie.text()[-3000:]
    return await rig.committed() == await rig.ends(*rig.topics.sources)


# ---- the disk fails


@contextlib.contextmanager
def locked(disk: Path, _: WorkerProcess | None) -> Iterator[None]:
    holder = StoreDirectory(disk / "store")
    holder.lock()
    try:
        yield
    finally:
        holder.release()


@contextlib.contextmanager
def unwritable(disk: Path, _: WorkerProcess | None) -> Iterator[None]:
    with read_only(disk):
        yield


@contextlib.contextmanager
def full(disk: Path, _: WorkerProcess | None) -> Iterator[None]:
    with fill(disk):
        yield


@contextlib.contextmanager
def input_output_errors(_: Path, worker: WorkerProcess | None) -> Iterator[None]:
    assert worker is not None
    worker.signal(signal.SIGUSR1)
    try:
        yield
    finally:
        worker.signal(signal.SIGUSR1)


@pytest.mark.parametrize(
    ("fault", "at_the_start"),
    [
        pytest.param(locked, True, marks=pytest.mark.row(45)),
        pytest.param(unwritable, True, marks=pytest.mark.row(46)),
        pytest.param(full, False, marks=pytest.mark.row(46)),
        pytest.param(input_output_errors, False, marks=pytest.mark.row(46)),
    ],
    ids=["locked", "read-only", "full", "input and output errors"],
)
async def test_a_worker_goes_on_without_its_store_and_reads_again_what_it_lacks(
    rig: Rig,
    requirements: Requirements,
    fault: Callable[[Path, WorkerProcess | None], contextlib.AbstractContextManager[None]],
    at_the_start: bool,
) -> None:
    inject = "its_disk_fails" if fault is input_output_errors else "its_store_is_flushed_often"
    with mounted(rig.directory / "disk", "32m", requirements) as disk:
        worker = await started(rig, waiting="disk/store", inject=inject)
        await rig.produce(evaluations()[:80])
        await rig.produce(people(0, 10))
        await verified(rig, [*evaluations()[:80], *people(0, 10)])
        if at_the_start:
            await stopped(worker)
        with fault(disk, None if at_the_start else worker):
            if at_the_start:
                worker = await started(rig, waiting="disk/store", inject=inject)
            await rig.produce(evaluations()[80:])
            await rig.produce(people(10, 30))
            await rig.until("the worker reports its store", lambda: logged(worker, "waiting evaluations are not kept"))
            await rig.settled()
        await rig.until("the store is back", lambda: logged(worker, "can be used again"))
        await rig.produce(people(30, 40))
        await verified(rig, [*evaluations(), *people(0, 40)])
        await stopped(worker)
        # As if it had never been away.
        worker = await started(rig, waiting="disk/store", inject=inject)
        await rig.produce(people(40, 60))
        await verified(rig, [*evaluations(), *people(0, 60)])
        worker.kill()


async def logged(worker: WorkerProcess, text: str) -> bool:
    assert worker.process.poll() is None, worker.text()[-3000:]
    return text in worker.text()


# ---- the topic


@pytest.mark.row(51)
async def test_what_neither_disk_nor_topic_has_is_told_and_the_rest_counts(rig: Rig) -> None:
    worker = await started(rig)
    await rig.produce(evaluations())
    await rig.settled()
    await stopped(worker)
    shutil.rmtree(rig.directory / "w1")
    ends = await rig.ends(rig.topics.evaluations)
    halves = {tp: RecordsToDelete(end // 2) for tp, end in ends.items()}
    await rig.administer(lambda admin: admin.delete_records(halves))
    left = {record.value for record in await rig.read(rig.topics.evaluations)}
    worker = await started(rig)
    await rig.produce(people(0, 60))
    kept = [fact for fact in evaluations() if rig.event(fact)[2] in left]
    assert 0 < len(kept) < len(evaluations())
    await verified(rig, [*kept, *people(0, 60)])
    lost = sum(half.before_offset for half in halves.values())
    await rig.until("the markers report it", lambda: reported_missing(rig, lost))
    await stopped(worker)
    assert worker.counters()["eval_alignment_waiting_missing"] == lost
    assert "no longer has the offsets" in worker.text()


async def reported_missing(rig: Rig, lost: int) -> bool:
    """Whether the last markers report that this many evaluations are missing."""
    last = {record.partition: record.value for record in await rig.read(rig.topics.tallies) if record.key == MARKER_KEY}
    reports = [orjson.loads(value or b"{}").get("waiting", {}) for value in last.values()]
    return bool(sum(report.get("missing", 0) for report in reports) == lost)


@pytest.mark.row(52)
async def test_a_topic_that_was_created_again_has_other_offsets(rig: Rig) -> None:
    """What waited of the old topic is gone with it; nothing of the new one counts as read."""
    worker = await started(rig)
    await rig.produce(evaluations())
    await rig.produce(people(0, 10))
    await verified(rig, [*evaluations(), *people(0, 10)])
    await stopped(worker)
    await rig.delete_topics(rig.topics.evaluations)
    await topic_table.apply({"bootstrap_servers": rig.bootstrap}, rig.topics, rig.partitions)
    after = [Evaluation(AT, f"n{index}", f"item-{index}", "new", passed=index % 2 == 0) for index in range(ITEMS)]
    await rig.produce(after[:40])
    worker = await started(rig)
    await rig.produce(after[40:])
    await rig.produce(people(10, 60))
    known = {fact.item for fact in people(0, 10)}
    before = [fact for fact in evaluations() if fact.item in known]
    await verified(rig, [*before, *after, *people(0, 60)])


# ---- other ledgers and settings


async def test_a_ledger_with_rows_of_unknown_items_goes_on_with_them(rig: Rig) -> None:
    """As of a release in which every evaluation was a row."""
    worker = await started(rig, inject="everything_is_a_row")
    await rig.produce(evaluations()[:50])
    await rig.settled()
    await stopped(worker)
    ends = await rig.ends(rig.topics.facts)
    again = await started(rig, waiting="again")
    await rig.produce(evaluations()[50:])
    await rig.settled()
    assert sum((await rig.ends(rig.topics.facts)).values()) == sum(ends.values()) + rig.partitions, "claims only"
    await rig.produce(people(0, 60))
    await rig.settled()
    await rig.until("a recount", lambda: rig.matches([*evaluations(), *people(0, 60)]))
    assert "reading" not in again.text(), "the ledger has everything that was processed before"
