"""The verdict on a history at its end: nothing lost, nothing counted twice, everything committed."""

from typing import Any, Final

from aggregator.facts import Fact, parse
from aggregator.recount import Recount
from streams.ledger.claim import CLAIM_KEY
from tests.simulation.broker import Partition
from tests.simulation.clock import wall
from tests.simulation.process import TOPICS
from tests.simulation.viewer import Viewer, Wrong
from tests.simulation.world import World

_FRESH_MS: Final = 15_000
"""The age at which a view marks its state as stale."""


def verify(world: World) -> None:
    """Raises Wrong unless reader, ledger and dead letters equal a recount of the events.

    The offsets are committed by now. Checks again after compaction of everything, as a new reader and a new worker
    would start.
    """
    expected = [
        Recount(
            [
                delivery.event.fact
                for delivery in world.deliveries
                if delivery.event.fact is not None and delivery.event.partition == partition
            ],
            world.policy,
        )
        for partition in range(world.partitions)
    ]
    verify_dead_letters(world)
    world.viewer.look()
    verify_freshness(world)
    for compacted in (False, True):
        for partition, recount in enumerate(expected):
            where = f"partition {partition}{' after compaction' if compacted else ''}"
            _verify_ledger(world.broker.partitions[TOPICS.facts, partition], recount, where)
            verify_readers(world, partition, recount, where)
        for topic in (TOPICS.facts, TOPICS.tallies):
            for partition in range(world.partitions):
                world.broker.partitions[topic, partition].compact(1 << 62)


def verify_readers(world: World, partition: int, recount: Recount, where: str) -> None:
    """The reader, and one that begins now, show these counts."""
    for viewer in (world.viewer, _new_reader(world)):
        _verify_counts(viewer.kept[partition].counted(), recount, where)


def verify_freshness(world: World) -> None:
    """Everything is processed, so every partition is complete up to now, except for the time between two markers."""
    now = int(wall() * 1000)
    for partition, kept in world.viewer.kept.items():
        if now - kept.complete > _FRESH_MS:
            raise Wrong(
                f"partition {partition} has no waiting event, and is complete up to {now - kept.complete} ms ago only"
            )


def _new_reader(world: World) -> Viewer:
    viewer = Viewer(world.broker, world.partitions)
    viewer.look()
    return viewer


def _verify_counts(shown: dict[Any, Any], recount: Recount, where: str) -> None:
    counted = recount.tallies()
    if shown != counted:
        groups = sorted(group for group in shown.keys() | counted.keys() if shown.get(group) != counted.get(group))
        differences = "; ".join(f"{group}: {shown.get(group)} instead of {counted.get(group)}" for group in groups[:3])
        raise Wrong(f"wrong counts in {where}: {differences}")


def _verify_ledger(ledger: Partition, recount: Recount, where: str) -> None:
    last: dict[bytes, Fact] = {}
    for record in ledger.records:
        assert record.key is not None and record.value is not None
        if record.key != CLAIM_KEY:
            last[record.key] = parse(record.key, record.value)
    if last != recount.rows:
        keys = sorted(key for key in last.keys() | recount.rows.keys() if last.get(key) != recount.rows.get(key))
        differences = "; ".join(f"{last.get(key)} instead of {recount.rows.get(key)}" for key in keys[:3])
        raise Wrong(f"the ledger's last records are not the winners in {where}: {differences}")


def verify_dead_letters(world: World) -> None:
    """Exactly the invalid events are in the dead-letter topic."""
    records = set()
    for record in world.broker.partitions[TOPICS.dead_letters, 0].records:
        headers = {name: (value or b"").decode() for name, value in record.headers}
        records.add(tuple(headers[f"alignment-{name}"] for name in ("topic", "partition", "offset")))
    expected = {
        (delivery.event.topic, str(delivery.event.partition), str(delivery.offset))
        for delivery in world.deliveries
        if delivery.event.fact is None
    }
    if records != expected:
        raise Wrong(f"dead letters: {sorted(records ^ expected)} are too many or too few")
