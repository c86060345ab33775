"""Completeness: never later than the oldest waiting event, and the present when no event waits."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aggregator.tallies import Behind
from streams.engine.completeness import NEVER, Completeness, Now
from streams.kafka.watermarks import Watermarks

TOPICS = ("annotations", "evaluations")


def now(at: int) -> Now:
    return Now(1_000_000 + at, at / 1000)


def marks(high: int, at: int, stable: int | None = None) -> Watermarks:
    return Watermarks(high, high if stable is None else stable, 1_000_000 + at)


def test_nothing_is_known_before_the_first_fetch_except_what_earlier_owners_stated() -> None:
    complete = Completeness()
    complete.observe({"a": 5}, {"a": None}, now(100))
    assert (complete.at(now(100)), complete.behind(now(100))) == (NEVER, "restoring")
    complete.restored(1_000_007)
    assert complete.at(now(100)) == 1_000_007


def test_a_partition_that_is_caught_up_is_complete_up_to_its_last_fetch() -> None:
    complete = Completeness()
    complete.observe({"a": 5}, {"a": marks(5, at=80)}, now(100))
    assert (complete.at(now(100)), complete.behind(now(100))) == (1_000_080, None)


def test_the_source_that_is_furthest_behind_decides() -> None:
    complete = Completeness()
    complete.processed("b", 1_000_020, now(90))
    complete.observe({"a": 5, "b": 5}, {"a": marks(5, at=80), "b": marks(9, at=80)}, now(100))
    assert (complete.at(now(100)), complete.behind(now(100))) == (1_000_020, "catching_up")


@pytest.mark.parametrize("timestamp", [1_000_000 + 10_000, 253_402_300_800_000, 2**63 - 1])
def test_a_timestamp_of_the_future_moves_nothing(timestamp: int) -> None:
    complete = Completeness()
    complete.processed("a", 1_000_020, now(90))
    complete.processed("a", timestamp, now(90))
    complete.observe({"a": 5}, {"a": marks(9, at=80)}, now(100))
    assert complete.at(now(100)) == 1_000_020
    complete.observe({"a": 9}, {"a": marks(9, at=95)}, now(100))
    assert complete.at(now(100)) == 1_000_095


@pytest.mark.parametrize(
    ("position", "stable", "why"), [(4, 7, "catching_up"), (7, 7, "open_transaction"), (9, 7, None)]
)
def test_records_of_an_open_transaction_are_waiting_events(position: int, stable: int, why: Behind | None) -> None:
    complete = Completeness()
    complete.observe({"a": 3}, {"a": marks(3, at=50)}, now(50))
    complete.observe({"a": position}, {"a": marks(9, at=100, stable=stable)}, now(100))
    assert complete.behind(now(100)) == why
    assert complete.at(now(100)) == (1_000_100 if why is None else 1_000_050)


def test_a_restart_that_fetches_nothing_moves_nothing() -> None:
    """A worker that ends at each first fetch publishes what its predecessor knew, however often it restarts."""
    stated = 1_000_050
    for started in range(100, 100_000, 10_000):
        complete = Completeness()
        complete.restored(stated)
        complete.observe({"a": 5}, {"a": None}, now(started))
        assert complete.at(now(started)) == stated
        complete.observe({"a": 5}, {"a": marks(6, at=started + 5)}, now(started + 5))
        stated = complete.at(now(started + 5))
    assert stated == 1_000_050


@given(st.floats(0, 50), st.floats(0, 50))
def test_parts_of_a_millisecond_state_no_later_time(first: float, second: float) -> None:
    complete = Completeness()
    complete.observe({"a": 5}, {"a": marks(5, at=20)}, Now(1_000_020 + first, (20 + first) / 1000))
    later = 20 + first + second
    assert 1_000_019 <= complete.at(Now(1_000_000 + later, later / 1000)) <= 1_000_020


@given(st.integers(-100_000, 100_000))
def test_a_clock_that_is_set_does_not_change_what_was_known(jump: int) -> None:
    complete = Completeness()
    complete.observe({"a": 5}, {"a": marks(5, at=1_000)}, now(1_000))
    later = Now(1_003_000 + jump, 3.0)
    complete.observe({"a": 5}, {"a": marks(6, at=3_000 + jump)}, later)
    assert complete.at(later) == 1_001_000 + jump, "two seconds ago, by the clock of now"


@dataclass
class Source:
    """A source partition at the broker, and what its consumer has of it."""

    timestamps: list[int] = field(default_factory=list)
    stable: int | None = None
    position: int = 0
    seen: Watermarks | None = None

    @property
    def readable(self) -> int:
        return len(self.timestamps) if self.stable is None else self.stable


class Histories(RuleBasedStateMachine):
    """Events and transactions arrive, fetches answer or do not, workers process, end and take over, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = 0
        self.sources = {topic: Source() for topic in TOPICS}
        self.complete = Completeness()
        self.stated = NEVER

    @property
    def now(self) -> Now:
        return now(self.ms)

    @rule(ms=st.integers(0, 30_000))
    def time_passes(self, ms: int) -> None:
        self.ms += ms

    @rule(topic=st.sampled_from(TOPICS), events=st.integers(1, 4))
    def events_arrive(self, topic: str, events: int) -> None:
        self.sources[topic].timestamps += [int(self.now.wall_ms)] * events

    @rule(topic=st.sampled_from(TOPICS))
    def a_transaction_begins(self, topic: str) -> None:
        source = self.sources[topic]
        if source.stable is None:
            source.stable = len(source.timestamps)
            source.timestamps.append(int(self.now.wall_ms))

    @rule(topic=st.sampled_from(TOPICS))
    def the_transaction_ends(self, topic: str) -> None:
        self.sources[topic].stable = None

    @rule(topic=st.sampled_from(TOPICS))
    def a_fetch_answers(self, topic: str) -> None:
        source = self.sources[topic]
        source.seen = Watermarks(len(source.timestamps), source.readable, int(self.now.wall_ms))

    @rule(topic=st.sampled_from(TOPICS), events=st.integers(1, 9))
    def events_are_processed(self, topic: str, events: int) -> None:
        source = self.sources[topic]
        end = min(source.readable, source.position + events)
        if end > source.position:
            self.complete.processed(topic, source.timestamps[end - 1], self.now)
            source.position = end

    @rule()
    def a_checkpoint_is_written(self) -> None:
        positions = {topic: source.position for topic, source in self.sources.items()}
        self.complete.observe(positions, {topic: source.seen for topic, source in self.sources.items()}, self.now)
        at = self.complete.at(self.now)
        assert at >= self.stated, "it never goes back"
        self.stated = at

    @rule()
    def everything_is_fetched_and_processed(self) -> None:
        """Then the partition is complete up to the present."""
        for topic, source in self.sources.items():
            source.stable = None
            self.events_are_processed(topic, len(source.timestamps))
            self.a_fetch_answers(topic)
        self.a_checkpoint_is_written()
        assert (self.stated, self.complete.behind(self.now)) == (int(self.now.wall_ms), None)

    @rule()
    def a_new_worker_takes_over(self) -> None:
        """It reads the rows that its predecessor wrote, so nothing that was processed is lost."""
        self.complete = Completeness()
        self.complete.restored(self.stated)
        for source in self.sources.values():
            source.seen = None

    @invariant()
    def what_is_stated_is_complete(self) -> None:
        for source in self.sources.values():
            waiting = source.timestamps[source.position :]
            assert not waiting or self.stated <= waiting[0]
        assert self.stated <= int(self.now.wall_ms)


TestHistories = Histories.TestCase
