"""Changes of placement are counted before anything reads the counts, and only then."""

from collections.abc import Callable
from typing import Any

import pytest

from aggregator import tallies
from aggregator.facts import Annotation, Evaluation, QueueItem
from aggregator.shard import Shard

COVERAGE = tallies.group_key(tallies.evaluations_group("q", "m", "1970-01-01"))
ROWS = 2
"""Rows that are counted with the placement."""


def shard_of_queue_item(**fields: Any) -> Shard:
    """Published, with the item `i` in the queue `q`."""
    shard = Shard(0)
    shard.apply(QueueItem(1, "1", "q", "i", **fields))
    shard.apply(Annotation(1, "1", "q", "i", stars=1))
    shard.apply(Evaluation(1, "1", "i", "m", passed=True))
    shard.drain()
    return shard


def read_tallies(shard: Shard) -> bool:
    return not dict(shard.tallies())


def read_drain(shard: Shard) -> bool:
    return shard.drain().tallies[COVERAGE] == {"pass": 0, "fail": 0, "error": 0, "skipped": 0}


def read_touched(shard: Shard) -> bool:
    return shard.settle().touched_tallies == 3


def read_touch(shard: Shard) -> bool:
    shard.touch(COVERAGE)
    return shard.settle().touched_tallies == 3


def read_after_clearing(shard: Shard) -> bool:
    shard.settle().drain()
    return not dict(shard.tallies()) and not shard.drain().tallies


@pytest.mark.parametrize("read", [read_tallies, read_drain, read_touched, read_touch, read_after_clearing])
def test_whatever_reads_the_counts_sees_that_an_item_left_its_queue(read: Callable[[Shard], bool]) -> None:
    shard = shard_of_queue_item()
    shard.apply(QueueItem(2, "2", "q", "i", deleted=True))
    assert read(shard)


@pytest.mark.parametrize("deleted", [False, True])
def test_an_item_that_changes_its_placement_and_back_changes_no_counts(deleted: bool) -> None:
    shard = shard_of_queue_item(deleted=deleted)
    counted, totals = dict(shard.tallies()), (shard.added, shard.retracted)
    for at in range(2, 6):
        shard.apply(QueueItem(at, "2", "q", "i", deleted=deleted if at % 2 else not deleted))
    assert (dict(shard.tallies()), shard.settle().touched_tallies) == (counted, 0)
    assert (shard.added, shard.retracted) == totals
    assert len(shard.drain().rows) == 1


def test_rows_of_changed_placements_are_known_until_they_are_counted() -> None:
    shard = shard_of_queue_item()
    assert shard.uncounted == 0
    shard.apply(QueueItem(2, "2", "q", "i", deleted=True))
    assert shard.uncounted == ROWS
    shard.apply(QueueItem(3, "3", "q", "i"))
    assert shard.uncounted == 0
    shard.apply(QueueItem(4, "4", "q", "i", deleted=True))
    assert shard.uncounted == ROWS
    shard.drain()
    assert shard.uncounted == 0


def test_events_between_a_change_of_placement_and_its_counting_count_as_usual() -> None:
    late, at_once = shard_of_queue_item(), shard_of_queue_item()
    for fact in (
        QueueItem(2, "2", "q", "i", deleted=True),
        Annotation(2, "2", "q", "i", annotator="b", stars=5),
        Annotation(3, "3", "q", "i", deleted=True),
        Evaluation(2, "2", "i", "m", passed=False),
        Evaluation(2, "2", "i", "n", status="error"),
        QueueItem(3, "3", "q", "i"),
        Evaluation(4, "4", "i", "m", deleted=True),
        Annotation(4, "4", "q", "i", annotator="c", stars=3),
        Evaluation(4, "4", "i", "o", passed=True),
    ):
        late.apply(fact)
        at_once.apply(fact)
        assert at_once.settle().touched_tallies, "it counts now"
    assert dict(late.tallies()) == dict(at_once.tallies()) != {}
