"""Sets of offsets behave as sets of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from streams.waiting.coverage import OffsetRanges

_offset = st.integers(0, 30)
_intervals = st.lists(st.tuples(_offset, _offset))


def _numbers(offsets: OffsetRanges) -> set[int]:
    return {number for start, end in offsets for number in range(start, end)}


@given(_intervals)
def test_intervals_are_apart_and_in_order(intervals: list[tuple[int, int]]) -> None:
    offsets = OffsetRanges.of(intervals)
    bounds = [bound for interval in offsets for bound in interval]
    assert bounds == sorted(set(bounds))
    assert _numbers(offsets) == {number for start, end in intervals for number in range(start, end)}
    assert (offsets.count, offsets.end) == (len(_numbers(offsets)), max(_numbers(offsets), default=-1) + 1)
    assert all((number in offsets) is (number in _numbers(offsets)) for number in range(32))


@given(_intervals, _offset, _offset)
def test_one_more_interval(intervals: list[tuple[int, int]], start: int, end: int) -> None:
    offsets = OffsetRanges.of(intervals)
    assert offsets.with_interval(start, end) == OffsetRanges.of([*offsets, (start, end)])


@given(_intervals, _offset, _offset)
def test_what_is_missing_and_what_is_there_are_all(intervals: list[tuple[int, int]], start: int, end: int) -> None:
    offsets = OffsetRanges.of(intervals)
    missing = offsets.missing(start, end)
    assert _numbers(missing) == set(range(start, end)) - _numbers(offsets)
    assert OffsetRanges.of(missing) == missing
