"""Judge versions: the order in which they appeared, and a test of which agrees better with people."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import comb, exp, log1p, sqrt, tau
from typing import Final, NamedTuple

from aggregator.days import day_of
from aggregator.statistics.confusion import Confusion

_EXACT: Final = 500
"""Heads up to which a probability is made of exact integers."""


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


def _half_binomial(n: int, k: int) -> float:
    """The probability of k heads in n throws of a coin.

    Source: Loader 2000, Fast and Accurate Computation of Binomial Probabilities, for large numbers: the exact integers
    of a million throws have a million bits.
    """
    if k <= _EXACT:
        return comb(n, k) / (1 << n)
    apart = (n - 2 * k) / n
    deviance = n / 2 * ((1 - apart) * log1p(-apart) + (1 + apart) * log1p(apart))
    error = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    return exp(error - deviance) * sqrt(n / (tau * k * (n - k)))


def _stirling_error(n: int) -> float:
    """By how much the logarithm of n! exceeds Stirling's formula, for large n."""
    return 1 / (12 * n) - 1 / (360 * n**3)


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
    # One term; the smaller ones follow from ratios, which keeps large counts fast.
    term = _half_binomial(n, k)
    tail = 0.0
    while term > tail * 1e-17 and k >= 0:
        tail += term
        term *= k / (n - k + 1)
        k -= 1
    return min(1.0, 2 * tail)
