"""Answers that take long: nobody waits longer than a moment, and an earlier answer is given meanwhile."""

import threading
from collections.abc import Callable, Iterator

import pytest

from sinks.page.slow_answers import SlowAnswers

WAIT = 30.0


class Slow:
    """Builds that end when the test lets them."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def of(self, answer: str) -> Callable[[], tuple[str, str]]:
        def build() -> tuple[str, str]:
            self.begun.release()
            assert self.go.acquire(timeout=WAIT)
            self.built.append(answer)
            return answer, f"answer {answer}"

        return build


@pytest.fixture
def slow() -> Iterator[Slow]:
    """Builds still wait at the end of some tests: they end then."""
    slow = Slow()
    yield slow
    slow.go.release(10)


class Clock:
    """Seconds that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_that_is_ready_in_time_is_given_and_kept(slow: Slow) -> None:
    answers = SlowAnswers[str]()
    slow.go.release()
    assert answers.get("q", "1", slow.of("1"), WAIT) == "answer 1"
    assert answers.get("q", "1", slow.of("1"), WAIT) == "answer 1"
    assert slow.built == ["1"]


def test_meanwhile_there_is_no_answer_or_the_earlier_one_and_one_is_computed(slow: Slow) -> None:
    clock = Clock()
    answers = SlowAnswers[str](clock)
    assert answers.get("q", "1", slow.of("1"), 0) is None
    assert answers.get("q", "1", slow.of("1"), 0) is None
    assert slow.begun.acquire(timeout=WAIT)
    slow.go.release()
    assert answers.get("q", "1", slow.of("1"), WAIT) == "answer 1"
    clock.now = 1.0
    assert answers.get("q", "2", slow.of("2"), WAIT) == "answer 1"
    assert slow.begun.acquire(timeout=WAIT)
    assert slow.built == ["1"]


def test_an_answer_is_not_computed_again_before_a_pause_of_four_times_what_it_took(slow: Slow) -> None:
    clock = Clock()
    answers = SlowAnswers[str](clock)
    assert answers.get("q", "1", slow.of("1"), 0) is None
    assert slow.begun.acquire(timeout=WAIT)
    clock.now = 10.0
    slow.go.release()
    assert answers.get("q", "1", slow.of("1"), WAIT) == "answer 1"
    for clock.now in (10.0, 49.9):
        assert answers.get("q", "2", slow.of("2"), WAIT) == "answer 1"
        assert not slow.begun.acquire(blocking=False)
    clock.now = 50.0
    assert answers.get("q", "2", slow.of("2"), WAIT) == "answer 1"
    assert slow.begun.acquire(timeout=WAIT)


def test_after_a_failure_the_next_request_tries_again() -> None:
    answers = SlowAnswers[str]()

    def fail() -> tuple[str, str]:
        raise ValueError("impossible numbers")

    with pytest.raises(ValueError, match="impossible numbers"):
        answers.get("q", "1", fail, WAIT)
    assert answers.get("q", "1", lambda: ("1", "answer 1"), WAIT) == "answer 1"


def test_a_client_that_asks_for_ever_new_answers_takes_no_place_of_others(slow: Slow) -> None:
    answers = SlowAnswers[str]()
    for number in range(100):
        assert answers.get(f"greedy {number}", "1", slow.of("greedy"), 0, "192.0.2.1") is None
    slow.go.release(10)
    assert answers.get("q", "1", slow.of("1"), WAIT, "192.0.2.2") == "answer 1"
    assert slow.built == ["greedy"] * 4 + ["1"]


def test_a_proxy_asks_for_the_answers_of_many(slow: Slow) -> None:
    answers = SlowAnswers[str]()
    for number in range(100):
        assert answers.get(f"q{number}", "1", slow.of("1"), 0) is None
    slow.go.release(16)
    assert answers.get("q15", "1", slow.of("1"), WAIT) == "answer 1"
