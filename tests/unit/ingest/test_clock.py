"""The estimate of the broker's time."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from ingest.clock import BrokerClock


@dataclass
class Times:
    """A machine whose wall clock is wrong by any amount."""

    seconds: float = 1_000.0
    wall_ms: int = 5

    def clock(self) -> BrokerClock:
        return BrokerClock(steady=lambda: self.seconds, wall=lambda: self.wall_ms)


def test_before_the_first_acknowledgement_it_is_the_clock_of_this_machine() -> None:
    assert Times(wall_ms=42).clock().now() == 42


def test_where_records_keep_the_time_of_their_producer_it_is_the_clock_of_this_machine() -> None:
    times = Times(wall_ms=42)
    clock = times.clock()
    clock.use_own()
    assert clock.now() == 42
    times.wall_ms = 7
    assert clock.now() == 7


def test_a_step_of_the_clock_of_this_machine_does_not_matter() -> None:
    times = Times()
    clock = times.clock()
    clock.observe(7_000_000)
    times.seconds, times.wall_ms = times.seconds + 10, 1 << 50
    assert clock.now() == 7_010_000


def test_after_half_a_minute_an_older_estimate_is_forgotten() -> None:
    times = Times()
    clock = times.clock()
    clock.observe(9_000_000)
    for step in range(1, 4):
        times.seconds += 31
        clock.observe(1_000_000 + step * 31_000)
    assert clock.now() == 1_093_000


@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 30)), min_size=1))
def test_it_is_never_ahead_of_the_broker_and_as_late_as_the_fastest_recent_acknowledgement(
    acknowledgements: list[tuple[float, float]],
) -> None:
    times, ahead_ms = Times(), 86_400_000.0
    clock = times.clock()
    recent: list[tuple[float, float]] = []
    for pause, delay in acknowledgements:
        times.seconds += pause
        appended_ms = int((times.seconds - delay) * 1000 + ahead_ms)
        clock.observe(appended_ms)
        recent = [(at, late) for at, late in [*recent, (times.seconds, delay)] if times.seconds - at < 30]
        late_ms = times.seconds * 1000 + ahead_ms - clock.now()
        assert -1 <= late_ms <= min(late for _, late in recent) * 1000 + 2
