"""Judge versions: the order in which they appeared, and a test of which agrees better with people."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import comb
from typing import NamedTuple

from aggregator.days import day_of
from aggregator.statistics.confusion import Confusion


@dataclass(frozen=True, slots=True)
class VersionCounts:
    """The comparisons of one judge version."""

    judge: str
    first_at: int
    """Time of its first verdict on any item, in milliseconds."""
    first_day: str
    """UTC day of the first annotation among them."""
    counts: Confusion
    superseded: int
    """Number of them where another version's verdict on the item is newer."""


class VersionChange(NamedTuple):
    """A judge version that followed another one."""

    day: str
    """UTC day from which the new version has comparisons: that of its first verdict, or of the first annotation that is
    compared with it if this is later.
    """
    before: VersionCounts
    after: VersionCounts


def in_order(versions: Iterable[VersionCounts]) -> list[VersionCounts]:
    """Versions by the time of their first verdict, then by name."""
    return sorted(versions, key=lambda version: (version.first_at, version.judge))


def epochs(versions: Iterable[VersionCounts]) -> list[VersionChange]:
    """The changes from each version to the next, oldest first."""
    ordered = in_order(versions)
    return [
        VersionChange(max(after.first_day, day_of(after.first_at)), before, after)
        for before, after in pairwise(ordered)
    ]


def mcnemar(first_only: int, second_only: int) -> float:
    """Two-sided p-value of McNemar's exact test: how likely two equal judges differ at least this much.

    Source: McNemar 1947, Psychometrika 12:153-157, with the binomial distribution instead of its limit.

    Args:
        first_only: number of comparisons in which only the first judge agrees with people.
        second_only: number of those in which only the second judge does.

    >>> mcnemar(1, 5)
    0.21875
    """
    n, k = first_only + second_only, min(first_only, second_only)
    if 2 * k == n:
        return 1.0
    # One exact term; the smaller ones follow from ratios, which keeps large counts fast.
    term = comb(n, k) / (1 << n)
    tail = 0.0
    while term > tail * 1e-17 and k >= 0:
        tail += term
        term *= k / (n - k + 1)
        k -= 1
    return min(1.0, 2 * tail)
