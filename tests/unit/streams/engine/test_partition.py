"""The state of owned partitions: what each transition changes."""

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from aggregator.facts import Annotation
from aggregator.shard import Shard
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.progress import Progress
from streams.engine.start import Start
from streams.kafka.watermarks import Watermarks
from tests.support.partitions import drain

UNUSED: Any = SimpleNamespace()
SOURCE = TP("annotations", 3)


def partition(number: int) -> OwnedPartition:
    return OwnedPartition(number, Shard(number), UNUSED, UNUSED)


def annotate(owned: OwnedPartition) -> None:
    owned.shard.apply(Annotation(at=1, id="a", queue="q", item="i", thumbs="up"))
    owned.applied()


@pytest.fixture
def owned() -> OwnedPartition:
    owned = partition(3)
    owned.restored({SOURCE: Start(10)})
    return owned


def test_a_drain_takes_rows_tallies_and_positions_of_one_moment(owned: OwnedPartition) -> None:
    annotate(owned)
    owned.processed(SOURCE.topic, 12, oldest=1_000)
    drained = drain(owned)
    assert (len(drained.delta.rows), drained.positions, drained.oldest) == (1, {SOURCE: 12}, [1_000])
    assert drained.delta.tallies
    owned.processed(SOURCE.topic, 14, oldest=None)
    assert drained.positions == {SOURCE: 12}
    assert drain(owned).oldest == []


def test_a_replayed_batch_does_not_move_the_position_back(owned: OwnedPartition) -> None:
    owned.processed(SOURCE.topic, 7, oldest=None)
    assert owned.positions == {SOURCE.topic: 10}


def test_events_that_were_counted_before_need_not_be_there_again() -> None:
    owned = partition(3)
    owned.restored({SOURCE: Start(10, counted=20)})
    expected = [owned.expected(SOURCE.topic)]
    owned.processed(SOURCE.topic, 25, oldest=None)
    assert [*expected, owned.expected(SOURCE.topic)] == [20, 25]


def test_a_partition_is_changed_from_the_first_event_to_the_drain(owned: OwnedPartition) -> None:
    changed = [owned.changed]
    owned.applied()
    changed.append(owned.changed)
    drain(owned)
    changed.append(owned.changed)
    owned.processed(SOURCE.topic, 11, oldest=None)
    changed.append(owned.changed)
    assert changed == [False, True, False, True]


def test_a_partition_is_fully_published_after_a_drain_until_it_changes_or_another_worker_writes(
    owned: OwnedPartition,
) -> None:
    published = [owned.fully_published]
    drain(owned)
    published.append(owned.fully_published)
    owned.replayed(0)
    published.append(owned.fully_published)
    owned.replayed(1)
    published.append(owned.fully_published)
    drain(owned)
    annotate(owned)
    published.append(owned.fully_published)
    assert published == [False, True, True, False, False]


def test_a_checkpoint_counts_the_comparisons_since_the_last_one(owned: OwnedPartition) -> None:
    owned.shard.added, owned.shard.retracted = 5, 2
    assert owned.checkpointed(1.0) == (5, 2)
    owned.shard.added = 8
    assert owned.checkpointed(2.5) == (3, 0)
    assert owned.checkpointed_at == 2.5


def test_an_assignment_keeps_the_shards_of_kept_partitions() -> None:
    partitions = OwnedPartitions()
    partitions.assign({0, 1}, partition)
    kept = partitions.get(1)
    partitions.assign({1, 2}, partition)
    assert [each.partition for each in partitions] == [1, 2]
    assert partitions.get(0) is None
    assert partitions.get(1) is kept


def test_partitions_are_ready_from_the_begin_of_a_generation_to_its_end() -> None:
    partitions = OwnedPartitions()
    partitions.assign({0, 1}, partition)
    partitions.begin_generation(7)
    assert (partitions.generation, [each.ready for each in partitions]) == (7, [True, True])
    first = partitions.get(0)
    assert first is not None
    first.applied()
    assert partitions.end_generation() == [first]
    assert (partitions.generation, [each.ready for each in partitions]) == (None, [False, False])
    assert partitions.end_generation() is None, "no generation had begun"


def test_a_checkpoint_is_due_for_changed_partitions_and_for_idle_ones() -> None:
    partitions = OwnedPartitions()
    partitions.assign({0, 1, 2}, partition)
    for each in partitions:
        each.checkpointed(each.partition)
    assert partitions.due(idle_since=5.0) == [], "none is ready"
    partitions.begin_generation(1)
    assert [each.partition for each in partitions.due(idle_since=0.5)] == [0]
    for each in partitions:
        if each.partition == 2:
            each.applied()
    assert [each.partition for each in partitions.due(idle_since=0.5)] == [0, 2]


@pytest.mark.parametrize(
    ("committed", "end", "counts"),
    [
        (8, 25, (20, 17, 2)),
        # No commit is known yet: nothing that was processed counts as uncommitted.
        (None, 25, (20, 15, 0)),
        # No fetch has reported an end yet.
        (8, None, (0, 2, 2)),
    ],
)
def test_progress_is_counted_from_the_known_commit_to_the_known_end(
    owned: OwnedPartition,
    committed: int | None,
    end: int | None,
    counts: tuple[int, int, int],
) -> None:
    partitions = OwnedPartitions()
    partitions.assign({3}, lambda _: owned)
    group: Any = SimpleNamespace(
        watermarks=lambda _: None if end is None else Watermarks(end + 5, end, 0), committed_offset=lambda _: committed
    )
    progress = Progress(partitions, group)
    ((topic, number, lag),) = progress.lag()
    assert (topic, number) == (SOURCE.topic, 3)
    assert (lag, progress.uncommitted(), progress.processed_uncommitted()) == counts
