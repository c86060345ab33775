"""What `doctor` finds about the stores and disks of waiting evaluations."""

import math

import pytest

from eval_alignment.doctor.http import Answer
from eval_alignment.doctor.processes import Process
from eval_alignment.doctor.severity import Severity
from eval_alignment.doctor.waiting import judge_waiting
from tests.unit.eval_alignment.doctor.observed import URL, answer, process, storing


@pytest.mark.parametrize(
    ("store", "severities"),
    [
        # 10 days have 1 GB, so 37 days need 2.7 GB more.
        (storing(free=2.8e9, age=864_000), [Severity.OK]),
        (storing(free=2.6e9, age=864_000), [Severity.WARNING]),
        (storing(free=1e9), [Severity.ERROR]),
        # It covers too little, or nothing.
        (storing(free=2e9, age=3_600), [Severity.OK]),
        (storing(free=2e9, size=0, age=0), [Severity.OK]),
        # A worker that has just started does not know it.
        (storing(free=math.nan, size=0, age=0), [Severity.OK]),
    ],
)
def test_a_disk_needs_room_for_all_that_will_wait(store: Process, severities: list[Severity]) -> None:
    assert [finding.severity for finding in judge_waiting([store], {}, 30)] == severities


def test_a_longer_wait_needs_more_room() -> None:
    (finding,) = judge_waiting([storing(43, free=2.8e9, age=864_000)], {}, 43)
    assert finding.severity is Severity.WARNING
    assert finding.observed.endswith("2.6 GiB free, 0.9 GiB of 10.0 days, 3.7 GiB more are needed")


def test_a_worker_that_reports_no_store_is_passed_over() -> None:
    nonsense = [answer(), Answer(URL, 200, b"<html>"), answer(waiting=3), Answer(URL, 0)]
    assert [f.name for f in judge_waiting([process(answer(), each) for each in nonsense], {}, 30)] == ["ok"]
