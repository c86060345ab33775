"""`load --wait` returns when the view has passed every acknowledged offset, or names what it waits for."""

from collections.abc import Sequence
from typing import cast

import pytest

from eval_alignment.load_wait import LONGEST_SECONDS, NotPassedError, OtherDeploymentError, ViewWait
from eval_alignment.view_client import UnreachableError, View
from sinks.api.responses import SourceProgress
from streams.kafka.topics import Topics

TOPICS = Topics()
A, E, Q = TOPICS.sources
Answer = dict[tuple[str, int], int] | UnreachableError
NOTHING = {(topic, partition): 0 for topic in TOPICS.sources for partition in (0, 1)}


class Views:
    """A view that answers with these positions in turn, and then with the last ones for ever."""

    url = "http://view"

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = list(answers)

    def positions(self) -> list[SourceProgress]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, UnreachableError):
            raise answer
        return [SourceProgress(topic=t, partition=p, position=at, end=at) for (t, p), at in answer.items()]


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)


def waiting(*answers: Answer, seconds: float = 60.0) -> tuple[ViewWait, Time]:
    time = Time()
    wait = ViewWait(cast("View", Views(answers)), TOPICS, seconds, lambda: time.now, time.sleep)
    wait.check()
    return wait, time


def test_it_returns_when_the_position_of_every_partition_is_above_the_offset() -> None:
    at = {**NOTHING, (A, 0): 7, (E, 1): 3}
    wait, time = waiting(NOTHING, {**NOTHING, (A, 0): 7}, {**NOTHING, (A, 0): 7, (E, 1): 2}, at)
    wait.until_passed({(A, 0): 6, (E, 1): 2})
    assert len(time.pauses) == 2
    wait.until_passed({})


def test_pauses_grow_and_the_timeout_names_partition_offset_and_position() -> None:
    wait, time = waiting(NOTHING, {(A, 0): 7, (E, 1): 2}, seconds=10)
    with pytest.raises(NotPassedError) as error:
        wait.until_passed({(A, 0): 6, (E, 1): 2, (Q, 1): 0})
    assert time.now == 10
    assert time.pauses[0] < time.pauses[1] < max(time.pauses) == LONGEST_SECONDS
    assert f"{E}[1]: acknowledged offset 2, position 2" in str(error.value)
    assert f"{Q}[1]: acknowledged offset 0, no position" in str(error.value)
    assert A not in str(error.value)


def test_a_view_that_restarts_is_waited_for() -> None:
    away = UnreachableError("http://view: refused")
    wait, _ = waiting(NOTHING, away, away, {**NOTHING, (A, 0): 1})
    wait.until_passed({(A, 0): 0})
    wait, _ = waiting(NOTHING, away)
    with pytest.raises(NotPassedError, match="refused"):
        wait.until_passed({(A, 0): 0})


def test_a_view_that_is_not_available_is_an_error_before_anything_is_sent() -> None:
    with pytest.raises(UnreachableError):
        waiting(UnreachableError("http://view: refused"))


def test_a_view_of_other_topics_or_another_broker_is_an_error() -> None:
    with pytest.raises(OtherDeploymentError, match=r"shows the events of other\.annotations, not of"):
        waiting({("other.annotations", 0): 5})
    wait, _ = waiting({**NOTHING, (A, 0): 5})
    with pytest.raises(OtherDeploymentError, match="another broker"):
        wait.until_passed({(A, 0): 4})


def test_a_view_that_has_seen_no_checkpoint_is_waited_for() -> None:
    wait, _ = waiting({}, {}, {**NOTHING, (A, 0): 1})
    wait.until_passed({(A, 0): 0})
