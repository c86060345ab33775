"""A bound on a share that holds at every look, not at one: the Beta-binomial mixture confidence sequence.

An interval for one look (Wilson) misses the true share in 5 % of looks. A reader who looks after every label and stops
at a good result is wrong far more often. A confidence sequence contains the true share at all looks together with the
stated probability.

Sources: Robbins 1970, Annals of Mathematical Statistics 41:1397-1409 (the mixture); Howard, Ramdas, McAuliffe, Sekhon
2021, Annals of Statistics 49:1055-1080 (confidence sequences); the promise is Ville's inequality.
"""

from collections.abc import Callable
from math import lgamma, log
from typing import Final

from aggregator.statistics.bisection import last_inside

MIX_PASS: Final = 8.0
MIX_FAIL: Final = 2.0
"""Beta distribution (8, 2) that the likelihood is mixed over: tight near the alignment of a useful judge, .8."""
ERROR: Final = 0.05
"""Probability that the true share ever leaves the sequence."""


def confidence_sequence(k: float, n: float) -> tuple[float, float]:
    """Lower and upper bound of a share after `k` of `n`, valid at every `n` together with probability 0.95.

    All p with ln B(a + k, b + n - k) - ln B(a, b) - k ln p - (n - k) ln(1 - p) < ln 20. `k` and `n` need not be
    integers: alignment on distinct items has a fraction of an item. Raises ValueError unless 0 <= k <= n.

    >>> [round(bound, 4) for bound in confidence_sequence(36, 40)]
    [0.7187, 0.9832]
    """
    return lower_bound(k, n), 1.0 if n == 0 else last_inside(_inside(k, n), k / n, 1.0)


def lower_bound(k: float, n: float) -> float:
    """The lower bound alone. Raises ValueError unless 0 <= k <= n."""
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is not a share")
    return 0.0 if n == 0 else last_inside(_inside(k, n), k / n, 0.0)


def n_to_exceed(share: float, limit: float) -> int:
    """Smallest n at which `share` of n has a lower bound of at least `limit`, a share below it, both in 0..1."""

    def enough(n: int) -> bool:
        # The limit is below the share, so it is outside exactly when the lower bound has passed it.
        return not _inside(share * n, n)(limit)

    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _inside(k: float, n: float) -> Callable[[float], bool]:
    """Whether a share is in the sequence after `k` of `n`: its log likelihood exceeds that of the mixture by enough."""
    least = _log_beta(MIX_PASS + k, MIX_FAIL + n - k) - _log_beta(MIX_PASS, MIX_FAIL) + log(ERROR)
    return lambda p: _times_log(k, p) + _times_log(n - k, 1 - p) > least


def _times_log(times: float, p: float) -> float:
    """`times` ln p, with 0 ln 0 = 0."""
    if times == 0:
        return 0.0
    return times * log(p) if p > 0 else float("-inf")


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
