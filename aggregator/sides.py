"""The two sides of a comparison, and how many of each an item has: buckets of annotations, and verdicts."""

from collections.abc import Iterable
from itertools import repeat
from typing import Generic, TypeVar

import msgspec

from aggregator.day_tallies import DayTally
from aggregator.ratings import LEVELS
from aggregator.verdicts import Verdict


class Bucket(msgspec.Struct, gc=False, eq=False):
    """Annotations of one day and rating, as one side of comparisons.

    A shard has one object for each, compared by identity, as long as the day counts anything.
    """

    tally: DayTally
    rating: int
    """Index in `ratings.LEVELS`."""


class CriterionCounts(msgspec.Struct, gc=False, eq=False):
    """The counts of one queue and criterion. A shard has one object for each, compared by identity."""

    queue: str
    criterion: str
    days: dict[int, DayTally]
    """Tallies by the number of the UTC day."""
    buckets: dict[int, Bucket]
    """By day and rating: number of the day * number of levels + index of the rating."""

    def bucket(self, day: int, rating: int) -> Bucket:
        """The bucket of a day's number and a rating, an index in `ratings.LEVELS`."""
        number = day * len(LEVELS) + rating
        bucket = self.buckets.get(number)
        if bucket is None:
            tally = self.days.get(day)
            if tally is None:
                tally = self.days[day] = DayTally(self.queue, self.criterion, day)
            bucket = self.buckets[number] = Bucket(tally, rating)
        return bucket

    def forget(self, day: int) -> None:
        """Drop a day that counts nothing; no row refers to its buckets."""
        self.days.pop(day, None)
        for rating in range(len(LEVELS)):
            self.buckets.pop(day * len(LEVELS) + rating, None)


Side = TypeVar("Side", Bucket, Verdict)


class SideCounts(Generic[Side]):
    """Many sides of comparisons, in place of a list: `remove` needs no search, and equal sides are counted together."""

    __slots__ = ("_total", "numbers")

    def __init__(self, sides: Iterable[Side]) -> None:
        self.numbers: dict[Side, int] = {}
        """How many there are of each."""
        self._total = 0
        for side in sides:
            self.append(side)

    def __len__(self) -> int:
        return self._total

    def append(self, side: Side) -> None:
        """Add one."""
        self._add(side, +1)

    def remove(self, side: Side) -> None:
        """Remove one of those that were added."""
        self._add(side, -1)

    def _add(self, side: Side, number: int) -> None:
        """Add so many equal ones; a negative number removes them."""
        self._total += number
        number += self.numbers.get(side, 0)
        if number:
            self.numbers[side] = number
        else:
            del self.numbers[side]


Sides = list[Side] | SideCounts[Side]
"""Sides of comparisons of one item: a list of few, as it is smaller and faster then."""


def numbers(sides: Sides[Side]) -> Iterable[tuple[Side, int]]:
    """Sides with how many there are of each; a list has equal ones apart."""
    return sides.numbers.items() if isinstance(sides, SideCounts) else zip(sides, repeat(1), strict=False)
