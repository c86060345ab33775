"""Readiness, and what the watchdog takes for a stall."""

from streams.runtime.health import Health, StallDetector


def test_a_worker_without_reasons_against_it_is_ready() -> None:
    assert not Health().ready
    assert Health(restored=True).ready
    assert Health(restored=True).reasons == []
    health = Health(restored=True, broker=False, circuit_breaker="21 events in a row of t were rejected")
    assert not health.ready
    assert health.reasons == [
        "the broker does not answer",
        "the circuit breaker is open: 21 events in a row of t were rejected",
    ]
    assert health.live, "a paused worker is not restarted"


def test_waiting_events_without_commits_are_a_stall() -> None:
    dog = StallDetector(stall_seconds=45)
    assert dog.observe(0, progress=1, lag=10, member=True) is None
    assert dog.observe(44, progress=1, lag=10, member=True) is None
    assert dog.observe(45, progress=1, lag=10, member=True) == (
        "10 events wait, and no event was committed and no row restored for 45 s"
    )


def test_progress_or_nothing_to_do_is_no_stall() -> None:
    dog = StallDetector(stall_seconds=45)
    for now in range(0, 1000, 30):
        assert dog.observe(now, progress=now, lag=10, member=True) is None
    for now in range(1000, 2000, 30):
        assert dog.observe(now, progress=0, lag=0, member=True) is None
    for now in range(2000, 3000, 30):
        assert dog.observe(now, progress=0, lag=10, member=True, paused=True) is None
    assert dog.observe(3001, progress=0, lag=10, member=True) is None, "the time starts when the pause ends"


def test_lost_membership_is_seen_without_lag() -> None:
    dog = StallDetector(membership_seconds=45)
    assert dog.observe(0, progress=0, lag=0, member=False) is None
    assert dog.observe(44, progress=0, lag=0, member=False) is None
    assert dog.observe(45, progress=0, lag=0, member=False) == "not a member of the consumer group for 45 s"
    assert dog.observe(46, progress=0, lag=0, member=True) is None


def test_no_progress_is_expected_while_the_broker_is_unreachable() -> None:
    dog = StallDetector(stall_seconds=45, membership_seconds=45)
    for now in range(0, 1000, 30):
        dog.excuse(now)
        assert dog.observe(now, progress=0, lag=10, member=False) is None
    assert dog.observe(1015, progress=0, lag=10, member=True) is None, "the time starts when it is back"
    assert dog.observe(1040, progress=0, lag=10, member=True) is not None
