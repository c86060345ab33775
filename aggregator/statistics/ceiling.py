"""The human ceiling: how well people agree with each other on the same item and criterion.

A judge is not expected to agree with people better than people agree with each other.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import product
from typing import NamedTuple

from aggregator.ratings import LEVELS, human_passes
from aggregator.statistics.confusion import Confusion, Undefined


class Panel(NamedTuple):
    """Items with the same ratings."""

    levels: Sequence[int]
    """Number of annotators by rating, in the order of `ratings.LEVELS`."""
    items: int
    """Number of these items."""


def ordered_pairs(panels: Iterable[Panel], pass_stars: int) -> Confusion:
    """The confusion matrix of all ordered pairs of annotators of the same item, on the items that have a pair.

    Its alignment is the share of pairs that agree. Its kappa is Cohen's kappa of a table whose two sides have the same
    marginal shares.
    """
    both_pass = both_fail = split = items = 0
    for panel in panels:
        passes = sum(count for level, count in enumerate(panel.levels) if human_passes(level, pass_stars))
        fails = sum(panel.levels) - passes
        if passes + fails < 2:
            continue
        both_pass += panel.items * passes * (passes - 1)
        both_fail += panel.items * fails * (fails - 1)
        split += panel.items * passes * fails
        items += panel.items
    return Confusion(tp=both_pass, fn=split, tn=both_fail, fp=split, items=items)


def alpha_binary(panels: Iterable[Panel], pass_stars: int) -> float | Undefined:
    """Krippendorff's alpha of pass and fail (nominal), with any number of annotators per item."""

    def results(levels: Sequence[int]) -> tuple[int, int]:
        passes = sum(count for level, count in enumerate(levels) if human_passes(level, pass_stars))
        return sum(levels) - passes, passes

    return _alpha([(results(panel.levels), panel.items) for panel in panels], lambda _totals, one, other: one != other)


def alpha_ordinal(panels: Iterable[Panel]) -> float | Undefined:
    """Krippendorff's alpha of stars (ordinal), with any number of annotators per item. Thumbs are left out."""
    first = LEVELS.index("1")
    return _alpha([(panel.levels[first:], panel.items) for panel in panels], _ordinal)


def _ordinal(totals: Sequence[int], one: int, other: int) -> int:
    """Four times the squared ordinal difference: the ratings from one value to the other, the ends counted half."""
    low, high = min(one, other), max(one, other)
    return (2 * sum(totals[low : high + 1]) - totals[low] - totals[high]) ** 2


def _alpha(
    units: Sequence[tuple[Sequence[int], int]], difference: Callable[[Sequence[int], int, int], int]
) -> float | Undefined:
    """Krippendorff's alpha, exact up to the last division (Krippendorff 2004, Content Analysis, chapter 11).

    Args:
        units: counts by value, with the number of units that have them. Units with fewer than two values have no pair.
        difference: squared difference of two values, given the totals of all paired values.
    """
    paired = [(counts, times) for counts, times in units if sum(counts) > 1]
    if not paired:
        return Undefined.NO_PAIRS
    totals = [sum(count * times for count, times in column) for column in _columns(paired)]
    values = range(len(totals))
    distances = {(one, other): difference(totals, one, other) for one, other in product(values, values) if one != other}
    observed = Fraction(0)
    for counts, times in paired:
        apart = sum(counts[one] * counts[other] * distance for (one, other), distance in distances.items())
        observed += Fraction(times * apart, sum(counts) - 1)
    expected = sum(totals[one] * totals[other] * distance for (one, other), distance in distances.items())
    if expected == 0:
        return Undefined.ONE_CLASS
    return float(1 - (sum(totals) - 1) * observed / expected)


def _columns(units: Sequence[tuple[Sequence[int], int]]) -> Iterable[list[tuple[int, int]]]:
    for value in range(len(units[0][0])):
        yield [(counts[value], times) for counts, times in units]
