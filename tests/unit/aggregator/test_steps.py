"""What takes as long as there are tallies is done in steps, none of which grows with their number."""

from collections.abc import Iterator
from typing import Any

import pytest

from aggregator import cells
from aggregator import shard as shard_module
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.many_cells import MANY
from aggregator.shard import Shard
from tests.unit.aggregator.test_many_cells import lines_of

AT = 1_780_000_000_000
RECORD_BYTES = 20_000


def annotations(number: int) -> list[Fact]:
    return [Annotation(AT, f"a{n}", "q", "i", criterion=f"c{n}", thumbs="up") for n in range(number)]


def metrics(number: int) -> list[Fact]:
    return [Evaluation(AT, f"e{n}", "i", f"m{n}", passed=True) for n in range(number)]


def judges(number: int) -> list[Fact]:
    return [Evaluation(AT + n, f"j{n}", "i", "m", judge=f"j{n}", passed=True) for n in range(number)]


def placed(number: int) -> list[Fact]:
    return [QueueItem(AT, f"q{n}", f"q{n}", "i") for n in range(number)]


SHAPES = {
    "criteria x metrics": lambda number: [*annotations(20), *metrics(number // 20)],
    "metrics of one day": lambda number: [*annotations(1), *metrics(number)],
    "judges of one day": lambda number: [*annotations(1), *judges(number)],
    "queues x metrics": lambda number: [*placed(number // 50), *metrics(50)],
}


def filled(facts: list[Fact]) -> Shard:
    shard = Shard(0, record_bytes=RECORD_BYTES)
    for fact in facts:
        shard.apply(fact)
    return shard


def longest_step(steps: Iterator[Any]) -> int:
    """Lines of the longest one."""
    longest, left = 0, True

    def step() -> None:
        nonlocal left
        left = next(steps, steps) is not steps

    while left:
        longest = max(longest, lines_of(step))
    return longest


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "STEP", 20)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", ["settling", "draining", "tallying"])
def test_no_step_is_longer_with_eight_times_as_many_tallies(shape: str, way: str) -> None:
    def longest(number: int) -> int:
        shard = filled(SHAPES[shape](number))
        if way != "settling":
            for _ in shard.counts.settling():
                pass
        return longest_step(getattr(shard.counts, way)())

    # A day of few cells is one step.
    assert longest(4_000) < 2 * longest(500) + 3 * MANY


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_taken_in_steps_is_what_is_taken_together(shape: str) -> None:
    facts = SHAPES[shape](1_000)
    one, other = filled(facts), filled(facts)
    steps = [step for step in other.counts.draining() if step is not None]
    assert dict(steps) == one.drain().tallies
    assert len(dict(steps)) == len(steps)
    assert dict(filter(None, other.counts.tallying())) == dict(one.tallies())
    more: list[Fact] = [
        Annotation(AT + 1, "b", "q", "i", criterion="c0", thumbs="down"),
        Evaluation(AT + 9_000, "f", "i", "m", judge="j3", passed=False),
        *(Evaluation(AT + 1, f"g{n}", "i", f"m{n}", deleted=True) for n in range(30)),
        QueueItem(AT + 1, "r", "q0", "i", deleted=True),
    ]
    for fact in more:
        one.apply(fact)
        other.apply(fact)
    other.settle()
    assert dict(filter(None, other.counts.draining())) == one.drain().tallies
    assert dict(filter(None, other.counts.tallying())) == dict(one.tallies())


def test_a_placement_is_counted_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_module, "STEP", 20)

    def longest(number: int) -> int:
        shard = filled([*placed(1), *metrics(number)])
        shard.drain()
        shard.apply(QueueItem(AT + 1, "r", "q0", "i", deleted=True))
        return longest_step(shard.settling())

    assert longest(2_000) < 2 * longest(250)
