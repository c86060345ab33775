"""Freshness of the served state: when it is stale, and the cause that is named."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.tallies import CheckpointMarker
from sinks.freshness import FRESH, Freshness, StaleCause, Staleness

NOW = 1_795_428_902.0
NOW_MS = int(NOW * 1000)


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def marker(at: int, **fields: Any) -> CheckpointMarker:
    return cast("CheckpointMarker", {"ledger": "l", "position": 1, "policy": "each", "at": at, "sources": {}, **fields})


class View:
    """Two partitions whose markers have just arrived."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.freshness = Freshness(15.0, self.clock)
        self.freshness.expect(range(2))
        self.complete: dict[int, int] = {}
        for partition in range(2):
            self.closed(partition, NOW_MS)

    def closed(self, partition: int, at: int, appended: int | None = NOW_MS, **fields: Any) -> None:
        self.freshness.closed(partition, marker(at, **fields), appended)
        self.complete[partition] = at if appended is None else min(at, appended)

    def judge(self, now: float = NOW) -> Staleness:
        return self.freshness.judge(self.complete, now)


def test_recent_markers_of_all_partitions_are_fresh() -> None:
    assert View().judge() == FRESH
    assert not FRESH.stale


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        ("catching_up", "a worker is catching up, events wait since 2026-11-23 10:14:42 UTC"),
        ("restoring", "a worker has restored, and processed no event since 2026-11-23 10:14:42 UTC"),
        ("circuit_breaker", "the circuit breaker of its worker is open, events wait since 2026-11-23 10:14:42 UTC"),
        ("open_transaction", "a producer's transaction is open since 2026-11-23 10:14:42 UTC, events after its start"),
        ("of_a_later_release", "events wait since 2026-11-23 10:14:42 UTC (of_a_later_release)"),
    ],
)
def test_a_marker_of_a_partition_that_is_behind_is_stale_with_its_cause(behind: str, words: str) -> None:
    view = View()
    view.closed(1, NOW_MS - 10_000, behind=behind)
    assert not view.judge().stale, "a small lag does not count"
    view.closed(1, NOW_MS - 20_000, behind=behind)
    found = view.judge()
    assert found.reason is not None
    assert found.reason.startswith(f"partition 1: {words}")
    assert found.cause == (StaleCause.OTHER if behind == "of_a_later_release" else StaleCause(behind))


def test_markers_that_stop_are_stale_by_the_own_clock_whatever_time_they_had() -> None:
    view = View()
    view.closed(1, NOW_MS + 3_600_000, appended=None)
    view.clock.seconds += 15.5
    view.closed(0, NOW_MS)
    found = view.judge(NOW + 4000)
    assert (found.cause, found.reason and found.reason[:36]) == (
        StaleCause.SILENT,
        "partition 1: no checkpoint for 16 s.",
    )


def test_a_partition_without_a_checkpoint_is_stale() -> None:
    view = View()
    view.freshness.expect(range(3))
    assert view.judge().reason == "partition 2: no checkpoint yet"
    assert Freshness().judge({}, NOW).cause is StaleCause.NO_CHECKPOINT


def test_a_state_from_before_the_start_is_fresh_until_it_is_old() -> None:
    freshness = Freshness()
    assert not freshness.judge({0: NOW_MS}, NOW).stale
    found = freshness.judge({0: NOW_MS}, NOW + 16)
    assert found == Staleness(StaleCause.SILENT, "partition 0: no checkpoint since 2026-11-23 10:15:02 UTC")


def test_what_the_log_had_before_the_start_accuses_no_clock() -> None:
    """Its worker ended long ago: the marker is applied now, and is old."""
    freshness, hour_ago = Freshness(), NOW_MS - 3_600_000
    freshness.expect(range(1))
    freshness.closed(0, marker(hour_ago), hour_ago, arrived=False)
    found = freshness.judge({0: hour_ago}, NOW)
    assert found == Staleness(StaleCause.SILENT, "partition 0: no checkpoint since 2026-11-23 09:15:02 UTC")
    freshness.closed(0, marker(hour_ago, behind="circuit_breaker"), hour_ago, arrived=False)
    assert freshness.judge({0: hour_ago}, NOW).cause is StaleCause.CIRCUIT_BREAKER


def test_a_marker_of_the_log_before_the_start_is_no_sign_of_a_worker() -> None:
    clock = Clock()
    freshness = Freshness(15.0, clock)
    freshness.expect(range(1))
    clock.seconds += 10
    freshness.closed(0, marker(NOW_MS), NOW_MS, arrived=False)
    assert freshness.judge({0: NOW_MS}, NOW) == FRESH
    clock.seconds += 5.5
    found = freshness.judge({0: NOW_MS}, NOW)
    assert (found.cause, found.reason and found.reason[:36]) == (
        StaleCause.SILENT,
        "partition 0: no checkpoint for 16 s.",
    )


@pytest.mark.parametrize(
    ("at", "appended", "now", "words"),
    [
        (NOW_MS + 3_600_000, NOW_MS, NOW, "the worker of partition 1 is 3600 s ahead of the broker"),
        (
            NOW_MS - 3_600_000,
            NOW_MS,
            NOW,
            "the worker of partition 1 is 3600 s later than the broker, or the broker took",
        ),
        (NOW_MS, NOW_MS, NOW - 3600, "partition 0 is complete up to 2026-11-23 10:15:02 UTC, 3600 s from now"),
        (NOW_MS, NOW_MS, NOW + 3600, "the newest checkpoint of partitions 0, 1 is of 2026-11-23 10:15:02 UTC"),
        (NOW_MS + 3_600_000, None, NOW, "partition 1 is complete up to 2026-11-23 11:15:02 UTC, 3600 s from now"),
    ],
)
def test_a_wrong_clock_is_stale(at: int, appended: int | None, now: float, words: str) -> None:
    view = View()
    view.closed(1, at, appended)
    found = view.judge(now)
    assert found.cause is StaleCause.CLOCK
    assert found.reason is not None
    assert found.reason.startswith(f"a clock is wrong: {words}")


def test_a_held_partition_is_stale_until_it_is_released() -> None:
    view = View()
    view.freshness.hold(1, "alignment.tallies.v1/1 at 17: invalid tally")
    assert view.judge() == Staleness(StaleCause.HELD, "partition 1: alignment.tallies.v1/1 at 17: invalid tally")
    view.freshness.hold(None, "the right to read is missing")
    view.freshness.release(1)
    assert view.judge().reason == "the right to read is missing"
    view.freshness.release(None)
    assert view.judge() == FRESH


REASON = "more tallies than max_tallies = 500,000. Most are of item 'hot'. Raise max_tallies, and restart it."


def test_a_quarantine_is_named_with_its_own_reason_until_the_partition_has_a_later_marker() -> None:
    view = View()
    view.clock.seconds += 5
    view.closed(0, NOW_MS + 5_000, NOW_MS + 5_000, quarantined={"1": REASON, "7": "of no partition"})
    assert view.judge(NOW + 5) == Staleness(StaleCause.QUARANTINE, f"partition 1 is in quarantine: {REASON[:-1]}")
    view.closed(1, NOW_MS + 6_000, NOW_MS + 6_000)
    assert view.judge(NOW + 6) == FRESH


def test_a_quarantine_ends_with_a_marker_of_its_worker_that_does_not_name_it() -> None:
    view = View()
    view.closed(0, NOW_MS, quarantined={"1": REASON})
    assert view.judge().cause is StaleCause.QUARANTINE
    view.closed(0, NOW_MS + 1_000, NOW_MS + 1_000)
    assert view.judge(NOW + 1) == FRESH


def test_a_partition_in_quarantine_that_never_had_a_checkpoint_is_named_with_its_reason() -> None:
    freshness = Freshness()
    freshness.expect(range(2))
    freshness.closed(0, marker(NOW_MS, quarantined={"1": "facts[1] at 5: no row"}), NOW_MS)
    assert freshness.judge({0: NOW_MS}, NOW).reason == "partition 1 is in quarantine: facts[1] at 5: no row"


def test_the_brokers_clock_goes_on_when_the_own_clock_is_set() -> None:
    view = View()
    view.freshness.closed(0, marker(0), 0, arrived=False)
    view.clock.seconds += 7.5
    assert view.freshness.broker_now() == NOW + 7.5


@given(
    st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 60_000), st.integers(0, 60)), min_size=2, max_size=2),
    st.integers(0, 60_000),
)
def test_what_is_called_live_is_complete_up_to_the_last_seconds(
    partitions: list[tuple[int, int, int]], elapsed: int
) -> None:
    """Markers of any age that are applied late: fresh only if every partition is recent by both clocks."""
    view = View()
    for partition, (age, late, waited) in enumerate(partitions):
        view.clock.seconds = 100.0 - waited
        view.closed(partition, NOW_MS - age, NOW_MS - age + late, behind="catching_up")
    view.clock.seconds = 100.0 + elapsed / 1000
    now = NOW + elapsed / 1000
    recent = all(now * 1000 - view.complete[partition] <= 15_000 for partition in range(2))
    arrived = all(view.clock.seconds - (100.0 - waited) <= 15.0 for _, _, waited in partitions)
    assert view.judge(now).stale == (not (recent and arrived))
