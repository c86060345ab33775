"""Reports of what repeats."""

from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.repeats import MOST_KINDS, Repeats


def test_a_kind_is_reported_at_once_then_with_a_count() -> None:
    repeats = Repeats(10.0)
    assert [repeats.due("a", now) for now in (0.0, 1.0, 9.9, 10.0, 11.0)] == [1, None, None, 3, None]
    assert repeats.due("b", 11.0) == 1


def test_too_many_kinds_are_reported_together() -> None:
    repeats = Repeats(10.0)
    assert all(repeats.due(number, 0.0) == 1 for number in range(MOST_KINDS))
    assert [repeats.due(MOST_KINDS + number, 0.0) for number in range(3)] == [1, None, None]
    assert repeats.due("another", 10.0) == 3


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5)), max_size=50))
def test_every_occurrence_is_in_one_report_or_held_back(steps: list[tuple[str, float]]) -> None:
    repeats, now, reported, last = Repeats(7.0), 0.0, 0, dict[str, float]()
    for kind, pause in steps:
        now += pause
        count = repeats.due(kind, now)
        if count is not None:
            assert now >= last.get(kind, float("-inf")) + 7.0
            last[kind] = now
            reported += count
    assert reported + sum(repeats._held_back.values()) == len(steps)
