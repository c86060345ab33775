"""A partition with more tallies than `max_tallies` is in quarantine, while it counts and while it is restored."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.shard import Shard
from aggregator.tallies import parse_marker
from streams.engine.engine import Engine
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.start import Start
from streams.kafka.batches import Batch
from streams.runtime.health import Health
from tests.fuzz.logs import DAMAGED, TOPICS, counted, new_logs, restored
from tests.support.partitions import drain
from tests.unit.streams.engine.test_engine import UNUSED

AT = 1_780_000_000_000
SOURCE = "evaluations"
ANNOTATIONS: list[Fact] = [Annotation(AT, f"a{n}", "q", "hot\x1b", criterion=f"c{n}", thumbs="up") for n in range(20)]
EVALUATIONS: list[Fact] = [Evaluation(AT, f"e{n}", "hot\x1b", f"m{n}", passed=True) for n in range(20)]


def partition(number: int) -> OwnedPartition:
    owned = OwnedPartition(number, Shard(number, max_tallies=200), UNUSED, UNUSED)
    owned.restored({TP(SOURCE, number): Start(10)})
    for fact in ANNOTATIONS:
        owned.shard.apply(fact)
    drain(owned)
    return owned


class Applier:
    """Merges evaluations; the circuit breaker may open with the last of them."""

    def __init__(self, opens: bool) -> None:
        self.circuit_breaker = UNUSED
        self.applied = 0
        self._opens = opens

    @property
    def paused(self) -> bool:
        return self._opens and self.applied >= len(EVALUATIONS)

    def apply(self, owned: OwnedPartition, _topic: str, records: Any, _chunks: Any) -> list[Any]:
        for fact in EVALUATIONS[self.applied : self.applied + len(records)]:
            owned.shard.apply(fact)
        self.applied += len(records)
        return []


@pytest.mark.parametrize("opens", [False, True])
async def test_its_events_are_neither_written_nor_committed_and_other_partitions_go_on(opens: bool) -> None:
    partitions = OwnedPartitions()
    partitions.assign({0, 1}, partition)
    partitions.begin_generation(7)
    applier = Applier(opens)
    engine = Engine(
        applier=applier,  # type: ignore[arg-type]
        dead_letters=UNUSED,
        group=UNUSED,
        health=(health := Health(restored=True, partitions=partitions.quarantined)),
        metrics=UNUSED,
        restore=SimpleNamespace(owned=partitions),  # type: ignore[arg-type]
        checkpoint=UNUSED,
        watchdog=UNUSED,
    )
    records: Any = [SimpleNamespace(timestamp=1)] * len(EVALUATIONS)
    async with asyncio.timeout(30):
        await engine._apply(Batch(SOURCE, 0, 10, 30, records, 7))
    first, second = partitions
    reason = first.quarantined or ""
    for part in ("max_tallies = 200", r"'hot\\x1b'", "'q'", "20 queues, criteria and days x 20 metrics = 400"):
        assert part in reason, reason
    assert health.quarantined == {0: reason}
    assert first.positions == {SOURCE: 10}
    assert partitions.dirty_rows == 0
    assert partitions.due(idle_since=1e9) == [second]


def test_the_share_of_the_limit_is_of_the_fullest_partition_that_is_not_in_quarantine() -> None:
    partitions = OwnedPartitions()
    assert (partitions.tallies, partitions.fullest) == (0, 0.0)
    partitions.assign({0, 1}, partition)
    first, _ = partitions
    for fact in EVALUATIONS[:5]:
        first.shard.apply(fact)
    drain(first)
    assert (partitions.tallies, partitions.fullest) == (140, 0.6)
    first.quarantine("more tallies than max_tallies")
    assert (partitions.tallies, partitions.fullest) == (140, 0.1)


def test_an_item_that_comes_back_into_its_queue_counts_before_the_checkpoint() -> None:
    owned = partition(0)
    owned.shard.apply(QueueItem(AT, "out", "q", "hot\x1b", deleted=True))
    for fact in EVALUATIONS:
        owned.shard.apply(fact)
    assert owned.fits()
    owned.shard.apply(QueueItem(AT + 1, "back", "q", "hot\x1b"))
    owned.applied()
    assert not owned.fits()
    assert "max_tallies = 200" in (owned.quarantined or "")
    assert not owned.shard.dirty


def test_a_restore_comes_to_the_same_quarantine_until_the_limit_is_raised() -> None:
    logs = new_logs()
    restored(logs, facts=[*ANNOTATIONS, *EVALUATIONS])
    before = logs[TOPICS.tallies, DAMAGED].end
    both = restored(logs, max_tallies=419)
    assert "max_tallies = 419" in (both[DAMAGED].quarantined or "")
    assert (both[DAMAGED].ready, both[1].ready) == (False, True)
    assert logs[TOPICS.tallies, DAMAGED].end == before
    # Nothing is written to its own logs: the markers of the worker's other partitions report it.
    reported = parse_marker(logs[TOPICS.tallies, 1].records[-1].value or b"")["quarantined"]
    assert reported == {str(DAMAGED): both[DAMAGED].quarantined}
    owned = restored(logs, max_tallies=420)[DAMAGED]
    assert owned.quarantined is None
    counted(logs, owned, [*ANNOTATIONS, *EVALUATIONS])
    assert "quarantined" not in parse_marker(logs[TOPICS.tallies, 1].records[-1].value or b"")
