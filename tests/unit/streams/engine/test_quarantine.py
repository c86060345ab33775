"""A partition in quarantine: nothing of it is processed or written, and the others of its worker go on."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from aggregator.facts import Annotation
from aggregator.shard import Shard
from streams.engine.engine import Engine
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.progress import Progress
from streams.engine.start import Start
from streams.kafka.batches import Batch
from streams.kafka.watermarks import Watermarks
from streams.runtime.health import Health
from tests.support.partitions import drain
from tests.unit.streams.engine.test_engine import UNUSED

SOURCE = "annotations"


def partition(number: int) -> OwnedPartition:
    owned = OwnedPartition(number, Shard(number), UNUSED, UNUSED)
    owned.restored({TP(SOURCE, number): Start(10)})
    return owned


@pytest.fixture
def partitions() -> OwnedPartitions:
    partitions = OwnedPartitions()
    partitions.assign({0, 1}, partition)
    partitions.begin_generation(7)
    return partitions


def annotate(owned: OwnedPartition) -> None:
    owned.shard.apply(Annotation(at=1, id="a", queue="q", item="i", thumbs="up"))
    owned.applied()


def get(partitions: OwnedPartitions, number: int) -> OwnedPartition:
    owned = partitions.get(number)
    assert owned is not None
    return owned


def test_nothing_of_it_is_written_at_a_checkpoint_or_at_the_end_of_the_generation(partitions: OwnedPartitions) -> None:
    for owned in partitions:
        annotate(owned)
    get(partitions, 0).quarantine("facts[0] at 5: no row")
    assert [owned.partition for owned in partitions.due(idle_since=1e9)] == [1]
    assert partitions.dirty_rows == 1, "its rows hold up no other partition"
    assert not get(partitions, 0).fully_published
    ended = partitions.end_generation()
    assert ended is not None
    assert [owned.partition for owned in ended] == [1]


def test_it_stays_so_when_a_generation_begins_and_the_next_assignment_makes_it_again(
    partitions: OwnedPartitions,
) -> None:
    get(partitions, 0).quarantine("no row")
    kept = get(partitions, 1)
    partitions.begin_generation(8)
    assert not get(partitions, 0).ready
    partitions.assign({0, 1}, partition)
    partitions.begin_generation(9)
    assert get(partitions, 0).quarantined is None
    assert get(partitions, 0).ready
    assert get(partitions, 1) is kept


def test_the_first_reason_stays_and_is_the_only_line_in_the_log(
    partitions: OwnedPartitions, caplog: pytest.LogCaptureFixture
) -> None:
    get(partitions, 1).quarantine("facts[1] at 5: no row")
    get(partitions, 1).quarantine("another")
    assert partitions.quarantined() == {0: None, 1: "facts[1] at 5: no row"}
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "facts[1] at 5: no row" in record.message
    assert "docs/operations.md" in record.message


def test_its_events_wait_and_do_not_count_as_a_stall(partitions: OwnedPartitions) -> None:
    get(partitions, 0).quarantine("no row")
    group: Any = SimpleNamespace(watermarks=lambda _: Watermarks(25, 25, 0), committed_offset=lambda _: 8)
    progress = Progress(partitions, group)
    assert list(progress.lag()) == [(SOURCE, 0, 15), (SOURCE, 1, 15)]
    assert (progress.uncommitted(), progress.processed_uncommitted()) == (17, 2)


def test_a_worker_with_other_partitions_is_ready_and_says_so(partitions: OwnedPartitions) -> None:
    health = Health(restored=True, partitions=partitions.quarantined)
    get(partitions, 0).quarantine("no row")
    assert (health.ready, health.quarantined) == (True, {0: "no row"})
    get(partitions, 1).quarantine("no row either")
    assert health.reasons == ["all its partitions are in quarantine"]
    assert health.live, "a restart does not mend a log"


async def test_a_batch_that_meets_the_quarantine_half_way_moves_no_position(partitions: OwnedPartitions) -> None:
    owned = get(partitions, 0)
    applied = []

    class Applier:
        paused = False

        def apply(self, owned: OwnedPartition, _topic: str, records: Any, _chunks: Any) -> list[Any]:
            applied.append(len(records))
            owned.quarantine("no row")
            return []

    engine = Engine(
        applier=Applier(),  # type: ignore[arg-type]
        dead_letters=UNUSED,
        group=UNUSED,
        health=Health(),
        metrics=UNUSED,
        restore=SimpleNamespace(owned=partitions),  # type: ignore[arg-type]
        checkpoint=UNUSED,
        watchdog=UNUSED,
    )
    records: Any = [SimpleNamespace(timestamp=1)] * 5000
    async with asyncio.timeout(10):
        await engine._apply(Batch(SOURCE, 0, 10, 5010, records, 7))
        await engine._apply(Batch(SOURCE, 0, 5010, 5020, records, 7))
    assert len(applied) == 1, "the rest of the batch, and the next one, are not applied"
    assert applied[0] < len(records)
    assert owned.positions == {SOURCE: 10}
    assert partitions.due(idle_since=1e9) == [get(partitions, 1)]


async def test_a_source_that_is_corrupt_puts_its_partition_in_quarantine_after_a_last_checkpoint(
    partitions: OwnedPartitions,
) -> None:
    written: list[int] = []

    async def checkpoint(due: list[OwnedPartition]) -> None:
        written.extend(owned.partition for owned in due if owned.quarantined is None)
        for owned in due:
            drain(owned)

    engine = Engine(
        applier=UNUSED,
        dead_letters=UNUSED,
        group=UNUSED,
        health=Health(),
        metrics=UNUSED,
        restore=SimpleNamespace(owned=partitions),  # type: ignore[arg-type]
        checkpoint=checkpoint,  # type: ignore[arg-type]
        watchdog=UNUSED,
    )
    annotate(get(partitions, 0))
    await engine._apply(Batch(SOURCE, 0, 10, 10, [], 7, corrupt="annotations[0]: wrong checksum"))
    assert written == [0]
    assert (get(partitions, 0).quarantined or "").startswith("annotations[0]: wrong checksum. Restore")
    assert get(partitions, 0).positions == {SOURCE: 10}
    assert get(partitions, 1).ready
    await engine._apply(Batch(SOURCE, 1, 10, 10, [], 6, corrupt="of another generation"))
    assert get(partitions, 1).ready
