"""The cost of an event does not grow with the rows of its item.

Cost is counted, not timed: lines that the interpreter runs, each pass of a loop again, and elements that
`_count_elements` counts in C.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

import pytest

from aggregator import cells
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key
from aggregator.policy import Policy
from aggregator.shard import Shard

ROWS = 200
"""Rows of one item, several times as many as those that are searched."""

History = Callable[[int], Iterable[Fact]]
"""A history with so many rows of one kind."""


def verdict(number: int, **fields: Any) -> Evaluation:
    """By a judge of its own."""
    named: dict[str, Any] = {"at": number, "id": "e", "item": "i", "metric": "m", "judge": f"run {number}"}
    return Evaluation(**named | fields)


def judges(count: int) -> Iterator[Fact]:
    yield Annotation(1, "a", "q", "i", thumbs="up")
    yield from (verdict(number, passed=number % 3 == 0) for number in range(count))


def judges_from_newest_to_oldest(count: int) -> Iterator[Fact]:
    yield from reversed(list(judges(count)))


def judges_of_a_queue_item(count: int) -> Iterator[Fact]:
    yield QueueItem(1, "q", "q", "i")
    yield from judges(count)


def judges_deleted_from_the_newest_on(count: int) -> Iterator[Fact]:
    yield from judges_of_a_queue_item(count)
    yield from (verdict(number, at=2 * count, deleted=True) for number in reversed(range(count)))


def failing_judges(count: int) -> Iterator[Fact]:
    yield QueueItem(1, "q", "q", "i")
    yield from (verdict(number, status="error") for number in range(count))


def failing_judges_deleted_from_the_newest_on(count: int) -> Iterator[Fact]:
    yield from failing_judges(count)
    yield from (verdict(number, at=2 * count, deleted=True) for number in reversed(range(count)))


def one_of_many_judges_again_and_again(count: int) -> Iterator[Fact]:
    yield from judges_of_a_queue_item(100)
    yield from (verdict(7, at=count + number, passed=number % 2 == 0) for number in range(count))


def annotators(count: int) -> Iterator[Fact]:
    yield verdict(1, passed=True)
    yield from (Annotation(n, "a", "q", "i", annotator=f"p{n}", stars=1 + n % 5) for n in range(count))


def annotators_from_newest_to_oldest(count: int) -> Iterator[Fact]:
    yield from reversed(list(annotators(count)))


def annotators_deleted_from_the_newest_on(count: int) -> Iterator[Fact]:
    yield from annotators(count)
    yield from (
        Annotation(2 * count, "a", "q", "i", annotator=f"p{number}", deleted=True) for number in reversed(range(count))
    )


def judges_of_an_item_with_many_annotators(count: int) -> Iterator[Fact]:
    yield from annotators(count)
    yield from judges(count)


def one_verdict_that_comes_and_goes_with_many_annotators(count: int) -> Iterator[Fact]:
    yield from annotators(count)
    yield from (verdict(1, at=count + n, **({"passed": True} if n % 2 else {"deleted": True})) for n in range(count))


def queue_items_that_change_nothing(count: int) -> Iterator[Fact]:
    yield from annotators(count)
    yield from judges(count)
    yield from (QueueItem(number, "q", "q", "i") for number in range(count))


def other_queues(count: int) -> Iterator[Fact]:
    yield from annotators(count)
    yield from judges(count)
    yield from (QueueItem(1, "q", f"q{number}", "i", deleted=number % 2 == 0) for number in range(count))


def metrics(count: int) -> Iterator[Fact]:
    yield QueueItem(1, "q", "q", "i")
    yield from (verdict(number, metric=f"m{number}", passed=True) for number in range(count))


def toggles(count: int) -> Iterator[Fact]:
    """One queue item is deleted and put again."""
    yield from (QueueItem(2 + number, "q", "q", "i", deleted=number % 2 == 0) for number in range(count))


def a_queue_item_that_comes_and_goes_with_many_metrics(count: int) -> Iterator[Fact]:
    yield from metrics(count)
    yield from toggles(count)


def a_queue_item_that_comes_and_goes_while_metrics_come(count: int) -> Iterator[Fact]:
    yield from metrics(count)
    for toggle, fact in zip(toggles(count), metrics(2 * count), strict=False):
        yield from (toggle, fact)


def a_queue_item_that_comes_and_goes_with_many_annotators(count: int) -> Iterator[Fact]:
    yield from annotators(count)
    yield from toggles(count)


def a_queue_item_that_comes_and_goes_with_many_criteria(count: int) -> Iterator[Fact]:
    yield verdict(1, passed=True)
    yield from (Annotation(number, "a", "q", "i", criterion=f"c{number}", stars=1) for number in range(count))
    yield from toggles(count)


EVALUATIONS = [
    judges,
    judges_from_newest_to_oldest,
    judges_of_a_queue_item,
    judges_deleted_from_the_newest_on,
    failing_judges,
    failing_judges_deleted_from_the_newest_on,
    one_of_many_judges_again_and_again,
    one_verdict_that_comes_and_goes_with_many_annotators,
    a_queue_item_that_comes_and_goes_with_many_metrics,
    a_queue_item_that_comes_and_goes_while_metrics_come,
]
ANNOTATIONS = [
    annotators,
    annotators_from_newest_to_oldest,
    annotators_deleted_from_the_newest_on,
    judges_of_an_item_with_many_annotators,
    queue_items_that_change_nothing,
    other_queues,
    a_queue_item_that_comes_and_goes_with_many_annotators,
    a_queue_item_that_comes_and_goes_with_many_criteria,
]


@pytest.mark.parametrize("history", EVALUATIONS)
def test_twice_the_evaluations_of_an_item_cost_twice_as_much(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    _expect_linear(history, Policy.EACH, Shard.apply, monkeypatch)


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("history", ANNOTATIONS)
def test_twice_the_annotations_of_an_item_cost_twice_as_much(
    history: History, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    _expect_linear(history, policy, Shard.apply, monkeypatch)


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("history", [judges_of_a_queue_item, annotators])
def test_a_restore_or_an_audit_of_twice_the_rows_of_an_item_costs_twice_as_much(
    history: History, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    _expect_linear(history, policy, lambda shard, fact: shard.replay(key(fact), encode(fact)), monkeypatch)


def _expect_linear(
    history: History, policy: Policy, merge: Callable[[Shard, Fact], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    once, twice = (_cost(list(history(rows)), policy, merge, monkeypatch) for rows in (ROWS, 2 * ROWS))
    assert twice / once < 2.5


def _cost(
    history: list[Fact], policy: Policy, merge: Callable[[Shard, Fact], object], monkeypatch: pytest.MonkeyPatch
) -> int:
    cost = 0
    count_elements: Callable[..., None] = vars(cells)["_count_elements"]

    def counted(mapping: dict[Any, int], elements: list[Any]) -> None:
        nonlocal cost
        cost += len(elements)
        count_elements(mapping, elements)

    def trace(_: FrameType, event: str, __: Any) -> Any:
        nonlocal cost
        cost += event == "line"
        return trace

    shard = Shard(0, policy)
    former = sys.gettrace()
    with monkeypatch.context() as patch:
        patch.setattr(cells, "_count_elements", counted)
        sys.settrace(trace)
        try:
            for fact in history:
                merge(shard, fact)
            shard.drain()
        finally:
            sys.settrace(former)
    return cost
