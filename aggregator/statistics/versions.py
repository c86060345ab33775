"""Judge versions: which agreed better with people on the same items, and when each appeared."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import comb
from typing import NamedTuple

from aggregator.days import day_of
from aggregator.statistics.confusion import Confusion


@dataclass(frozen=True, slots=True)
class VersionCounts:
    """A judge version's own comparisons; `superseded` of them where a newer version judged the item.

    `first_at`: time of its first verdict among them, in ms.
    """

    judge: str
    first_at: int
    counts: Confusion
    superseded: int


class VersionChange(NamedTuple):
    """A judge version that followed another one, and the UTC day on which it appeared."""

    day: str
    before: VersionCounts
    after: VersionCounts


def in_order(versions: Iterable[VersionCounts]) -> list[VersionCounts]:
    """Versions in the order in which they appeared, equally early ones by name."""
    return sorted(versions, key=lambda version: (version.first_at, version.judge))


def epochs(versions: Iterable[VersionCounts]) -> list[VersionChange]:
    """Every change of the version, oldest first."""
    ordered = in_order(versions)
    return [VersionChange(day_of(after.first_at), before, after) for before, after in pairwise(ordered)]


def mcnemar(first_only: int, second_only: int) -> float:
    """Two-sided p-value of McNemar's exact test: the chance that as uneven a split comes from two equal judges.

    Source: McNemar 1947, Psychometrika 12:153-157, with the binomial distribution instead of its limit.

    Args:
        first_only: units on which only the first judge is right.
        second_only: units on which only the second one is.

    >>> mcnemar(1, 5)
    0.21875
    """
    n, k = first_only + second_only, min(first_only, second_only)
    if 2 * k == n:
        return 1.0
    # One exact term; the smaller ones follow from their ratios, so that large counts stay cheap.
    term = comb(n, k) / (1 << n)
    tail = 0.0
    while term > tail * 1e-17 and k >= 0:
        tail += term
        term *= k / (n - k + 1)
        k -= 1
    return min(1.0, 2 * tail)
