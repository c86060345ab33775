"""What doctor reports about progress: lag, commits, and the clocks of workers and broker."""

from typing import Any

from aggregator.tallies import CheckpointMarker
from eval_alignment.doctor.processes import judge_clock
from eval_alignment.doctor.progress import GroupState, broker_ahead_s, judge_commits, judge_lag
from eval_alignment.doctor.severity import Severity
from tests.unit.eval_alignment.doctor.test_problems import NOW_MS, markers, offsets, workers


def test_a_partition_that_was_never_closed_is_named_once_there_are_workers() -> None:
    (finding,) = workers(partitions=3)
    assert finding.observed == "partitions 1, 2: no checkpoint marker yet"
    assert [finding.name for finding in workers(GroupState("g", "Empty", 0), partitions=3)] == ["no_worker"]


def test_a_few_events_on_their_way_are_no_lag() -> None:
    assert [finding.name for finding in judge_lag([offsets(1, 50), offsets(40, 60)])] == ["ok"]
    assert [finding.name for finding in judge_lag([offsets(1, 50), offsets(1, 60)])] == ["lag"]


def test_a_log_shorter_than_its_committed_offset_has_no_lag() -> None:
    # The embedded broker may report ends that are too low.
    assert [finding.name for finding in judge_lag([offsets(9, 7)])] == ["ok"]


def test_a_slow_write_is_no_skew_and_a_broker_behind_is() -> None:
    at = NOW_MS - 1000

    def of(*worker_times: int) -> dict[int, Any]:
        return {
            number: (CheckpointMarker(ledger="l", position=1, policy="each", at=worker_at, sources={}), at)
            for number, worker_at in enumerate(worker_times)
        }

    assert broker_ahead_s(of(at - 12_000, at - 20)) == 0.02
    assert broker_ahead_s(of(at - 20, at + 15_000)) == -15.0
    (finding,) = judge_clock([], -15.0)
    assert (finding.severity, "15.0 s behind" in finding.observed) == (Severity.ERROR, True)
    assert broker_ahead_s({}) is None
    assert broker_ahead_s(markers(behind="catching_up", waited_s=40)) is None, "it has the time of an event"


def test_commits_that_wait_for_a_transaction_are_not_frozen() -> None:
    held = offsets(5, 9, stable=5)
    assert judge_commits([held, held])[0].name == "ok"
    assert judge_commits([offsets(4, 9, stable=5), offsets(4, 9, stable=5)])[0].name == "commits_frozen"
    assert judge_lag([offsets(5, 9, stable=5), offsets(7, 9, stable=7)])[0].name != "transaction_open", "it moves"
