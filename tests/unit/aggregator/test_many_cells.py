"""Divided cells of a day with very many judges: the parts of `parts.split`, at the cost of what changed."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aggregator import parts
from aggregator.facts import Annotation, Evaluation
from aggregator.many_cells import DividedCells
from aggregator.shard import Shard
from aggregator.verdicts import Verdict

names = st.sampled_from([f"{letter * 20}{number}" for letter in "abcd" for number in range(10)])
changes = st.lists(st.tuples(names, st.booleans(), st.booleans()), max_size=120)
RECORD_BYTES = 8_000


@given(changes, st.integers(1, 8_000))
def test_the_parts_are_those_of_the_judges_that_count_after_every_change(
    changed: list[tuple[str, bool, bool]], limit: int
) -> None:
    divided = DividedCells(limit)
    counts: dict[tuple[str, bool], list[int]] = {}
    verdicts: dict[tuple[str, bool], Verdict] = {}
    for judge, passed, counting in changed:
        verdict = verdicts.setdefault((judge, passed), Verdict("m", judge, passed, True))
        numbers = counts.setdefault((judge, passed), [0] * 7)
        numbers[3] = int(counting)
        divided.update(verdict, numbers)
        standing = {key for key, of_key in counts.items() if any(of_key)}
        expected = {part: set(of_part) for part, of_part in parts.split({name for name, _ in standing}, limit).items()}
        assert {part: {each.judge for each in cells} for part, cells in divided.parts.items()} == {
            part: of_part for part, of_part in expected.items() if of_part
        }
        assert {(each.judge, each.passed) for cells in divided.parts.values() for each in cells} == standing


def lines_of(run: Callable[[], Any]) -> int:
    """Lines that the interpreter runs, each pass of a loop again."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG001
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return lines


def drain_of_few(judges: int) -> int:
    """Lines of checkpoints that each publish one changed judge of a day with so many."""
    shard = Shard(0, record_bytes=RECORD_BYTES)
    shard.apply(Annotation(1, "a", "q", "i", thumbs="up"))
    for number in range(judges):
        shard.apply(Evaluation(number, "e", "i", "m", judge=f"run {number}", passed=True))
    shard.drain()
    lines = 0
    for number in range(0, judges, judges // 40):
        shard.apply(Evaluation(number, "f", "i", "m", judge=f"run {number}", passed=False))
        lines += lines_of(shard.drain)
    return lines


def test_a_checkpoint_of_one_judge_costs_the_same_among_eight_times_as_many() -> None:
    # Only the numbers of the parts are gone through, of which there are as many as records.
    assert drain_of_few(8_000) < 2 * drain_of_few(1_000)
