"""Which offsets of a source partition a waiting store covers. This module is pure.

Every offset below the processed position is covered, or in a gap:

- covered: each waiting evaluation among these offsets is in this store, every other event was dealt with;
- a gap: what the store lacks, so that the topic must be read again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class OffsetRanges:
    """A set of offsets, as intervals that include their start and not their end, apart from each other and in order."""

    intervals: Sequence[tuple[int, int]] = ()

    @classmethod
    def of(cls, intervals: Iterable[tuple[int, int]]) -> Self:
        """The offsets of these intervals, which may overlap and have any order; an empty one adds nothing.

        >>> OffsetRanges.of([(5, 7), (0, 3), (3, 4), (9, 9)])
        OffsetRanges(intervals=((0, 4), (5, 7)))
        """
        joined: list[tuple[int, int]] = []
        for start, end in sorted(interval for interval in intervals if interval[0] < interval[1]):
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((start, end))
        return cls(tuple(joined))

    def __bool__(self) -> bool:
        return bool(self.intervals)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.intervals)

    def __contains__(self, offset: int) -> bool:
        return any(start <= offset < end for start, end in self.intervals)

    @property
    def count(self) -> int:
        """Number of offsets."""
        return sum(end - start for start, end in self.intervals)

    @property
    def end(self) -> int:
        """The offset after the last one; 0 for none."""
        return self.intervals[-1][1] if self.intervals else 0

    def with_interval(self, start: int, end: int) -> Self:
        """These offsets and those from `start` to before `end`.

        >>> OffsetRanges.of([(0, 4)]).with_interval(4, 6)
        OffsetRanges(intervals=((0, 6),))
        """
        if self.intervals and self.intervals[-1][0] <= start <= self.intervals[-1][1]:
            # Nearly always: events come in order.
            first, last = self.intervals[-1]
            return type(self)((*self.intervals[:-1], (first, max(last, end))))
        return type(self).of((*self.intervals, (start, end)))

    def missing(self, start: int, end: int) -> Self:
        """The offsets from `start` to before `end` that are not among these.

        >>> OffsetRanges.of([(2, 4), (6, 8)]).missing(0, 7)
        OffsetRanges(intervals=((0, 2), (4, 6)))
        """
        gaps: list[tuple[int, int]] = []
        for covered_start, covered_end in self.intervals:
            if covered_end <= start:
                continue
            if covered_start >= end:
                break
            if covered_start > start:
                gaps.append((start, covered_start))
            start = covered_end
        if start < end:
            gaps.append((start, end))
        return type(self)(tuple(gaps))
