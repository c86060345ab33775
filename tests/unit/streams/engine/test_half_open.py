"""The half-open circuit breaker over any history of floods, restarts and takeovers, without a broker.

A run of the world is what the engine does with a source partition: it applies batches, moves the position past those
that are complete, and looks at the rest while the circuit breaker is open.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from aggregator.facts import Annotation, encode
from aggregator.shard import Shard
from aggregator.tallies import CheckpointMarker
from streams.engine.apply import BatchApplier
from streams.engine.circuit_breaker import CircuitBreaker, CircuitBreakerPolicy
from streams.engine.engine import _split
from streams.engine.partition import OwnedPartition
from streams.engine.start import Start
from streams.events.decoder import Decoder
from streams.kafka.batches import Batch, Record
from streams.kafka.topics import Topics
from streams.runtime.metrics import WorkerMetrics
from tests.support.partitions import drain

UNUSED: Any = SimpleNamespace()
TOPIC = Topics().annotations
METRICS = WorkerMetrics("1", list)
AT = 1_780_000_000_000
POLICY = CircuitBreakerPolicy(in_a_row=2, share=0.3, window=10)


def record(offset: int, good: bool) -> Record:
    id = f"a{offset}"
    value = encode(Annotation(at=AT, id=id, queue="q", item="i", annotator=id, thumbs="up")) if good else b"{"
    # Any: the parts of aiokafka's record that are used.
    made: Any = SimpleNamespace(offset=offset, timestamp=AT, key=b"i", value=value, headers=[])
    return made  # type: ignore[no-any-return]


@dataclass
class World:
    """One source partition, its logs, and the worker that owns it."""

    source: list[Record] = field(default_factory=list)
    committed: int = 0
    marker: CheckpointMarker | None = None
    name: str = ""
    rows: set[str] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    looked: set[int] = field(default_factory=set)
    """What this process saw while its circuit breaker was open."""
    seen: dict[str, set[int]] = field(default_factory=dict)
    """What earlier processes of each name saw like that."""
    unseen: list[bool] = field(default_factory=list)
    """For each other event that this process took: whether it is a dead letter now."""

    def start(self, name: str) -> None:
        """A process with this name takes the partition over."""
        self.owned = OwnedPartition(0, Shard(0), UNUSED, UNUSED)
        self.seen.setdefault(self.name, set()).update(self.looked)
        self.name, self.looked = name, set()
        self.owned.half_open(name, {} if self.marker is None else self.marker.get("seen_by", {}))
        self.owned.restored({TP(TOPIC, 0): Start(self.committed)})
        self.applier = BatchApplier(Topics(), 1, Decoder(), CircuitBreaker(POLICY), METRICS)
        self.unseen = []
        self.checkpoint()

    def work(self, batch: int) -> None:
        """Process everything in batches of this size, or look at it."""
        # The engine's own split of a batch.
        while (start := self.owned.held.looked.get(TOPIC, self.owned.positions[TOPIC])) < len(self.source):
            fetched = Batch(TOPIC, 0, start, start + batch, self.source[start : start + batch])
            records = next(_split(fetched, self.owned.seen_before.get(TOPIC, 0))).records
            rejected = [] if self.applier.paused else self.applier.apply(self.owned, TOPIC, records)
            if self.applier.paused:
                self.looked |= {one.offset for one in records}
                self.owned.saw(TOPIC, start + len(records), self.applier.look(self.owned, TOPIC, records))
                continue
            dead = {one.record.offset for one in rejected}
            self.dead |= dead
            self.unseen += [one.offset in dead for one in records if one.offset not in self.seen.get(self.name, set())]
            self.owned.processed(TOPIC, start + len(records), None)

    def checkpoint(self) -> None:
        """Write rows and marker, and commit."""
        drained = drain(self.owned)
        self.rows |= {row.decode() for row in drained.delta.rows}
        self.marker = CheckpointMarker(ledger="l", position=0, policy="each", at=0, sources={})
        if drained.seen_by:
            self.marker["seen_by"] = drained.seen_by
        self.committed = drained.positions[TP(TOPIC, 0)]


Act = tuple[str, Any]
ACTS = st.one_of(
    st.tuples(st.just("events"), st.lists(st.booleans(), max_size=12)),
    st.tuples(st.just("events"), st.integers(1, 30).map(lambda count: [False] * count)),
    st.tuples(st.just("work"), st.integers(1, 7)),
    st.tuples(st.just("start"), st.sampled_from("ab")),
    st.tuples(st.just("checkpoint"), st.none()),
)


@given(st.lists(ACTS, max_size=25))
def test_no_history_lets_a_flood_through_or_loses_an_event(acts: list[Act]) -> None:
    world = World()
    world.start("a")
    for act, what in acts:
        match act:
            case "events":
                world.source += [record(len(world.source) + number, good) for number, good in enumerate(what)]
            case "work":
                world.work(what)
            case "start":
                world.start(what)
            case "checkpoint":
                world.checkpoint()
        # What nobody had seen opens it before it becomes a flood of dead letters.
        for end in range(len(world.unseen) + 1):
            assert world.unseen[max(0, end - 3) : end] != [True] * 3
            assert sum(world.unseen[max(0, end - 10) : end]) <= 3 or end < 10
    # An operator restarts workers that are paused, each of them once. Another one has the partition in between.
    for name in ("a", "b"):
        world.start(name)
        world.work(5)
        world.checkpoint()
    for name in ("a", "b"):
        world.start(name)
        world.work(5)
        assert not world.applier.paused
    world.work(5)
    world.checkpoint()
    assert not world.applier.paused
    assert world.committed == len(world.source)
    good = {number for number, one in enumerate(world.source) if one.value != b"{"}
    assert world.dead == {*range(len(world.source))} - good
    assert len(world.rows) == len(good)


def flooded() -> World:
    """Worker a is paused by a flood, and its marker has what it saw."""
    world = World([record(number, good=number % 20 == 0) for number in range(60)])
    world.start("a")
    world.work(5)
    world.checkpoint()
    assert world.applier.paused
    assert world.marker is not None
    assert world.marker["seen_by"] == {"a": {TOPIC: 60}}
    assert (world.committed, world.owned.held.invalid, world.owned.held.last) == (0, 57, f"{TOPIC}:0:59")
    return world


def test_a_restart_rejects_what_was_seen_and_a_new_flood_opens_it_again() -> None:
    world = flooded()
    world.source += [record(60 + number, good=False) for number in range(10)]
    world.start("a")
    world.work(7)
    assert world.applier.paused
    assert (len(world.dead), world.owned.positions[TOPIC]) == (57, 60)
    # A crash in between does not forget what was seen.
    world = flooded()
    world.start("a")
    world.start("a")
    world.work(60)
    world.checkpoint()
    assert (world.applier.paused, world.committed) == (False, 60)
    assert world.marker is not None
    assert "seen_by" not in world.marker


def test_another_worker_that_takes_over_is_not_half_open_even_after_its_own_crash() -> None:
    for crashes in (0, 1):
        world = flooded()
        for _ in range(crashes):
            world.start("b")  # It ends before it has looked.
        world.start("b")
        world.work(5)
        assert (world.applier.paused, world.dead) == (True, set())


def test_a_paused_worker_is_half_open_when_others_had_the_partition_during_its_restart() -> None:
    world = flooded()
    for name in ("b", "c"):
        world.start(name)
        world.work(5)
        world.checkpoint()
        assert (world.applier.paused, world.dead) == (True, set())
    # What arrived since is new to it, and a flood of its own.
    world.source += [record(60 + number, good=False) for number in range(10)]
    world.start("a")
    world.work(5)
    world.checkpoint()
    assert (world.applier.paused, len(world.dead), world.committed) == (True, 57, 60)
    world.start("b")
    world.work(5)
    assert (world.applier.paused, len(world.dead)) == (True, 57)
