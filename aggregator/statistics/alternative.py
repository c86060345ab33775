"""The alternative annotator test, which answers whether a judge may stand in for one of the people who annotate.

Source: Calderon, Reichart, Dror 2025, "The Alternative Annotator Test for LLM-as-a-Judge". A person is left out, and
both the person and the judge are compared with the others on the same items. The judge wins against the person when it
is as good, up to epsilon: the cost of one more person.
"""

from collections.abc import Sequence
from math import exp, lgamma, log, sqrt
from typing import Final, NamedTuple

from aggregator.statistics.confusion import Undefined
from aggregator.statistics.error_side import SIGNIFICANCE

LEAST_PEOPLE: Final = 3
LEAST_ITEMS: Final = 30
"""Items that a person needs, for the t-test."""
WINS: Final = 0.5
"""Winning rate from which the judge may replace a person."""
_PRECISION: Final = 1e-16
_TINY: Final = 1e-300


class LeftOut(NamedTuple):
    """A person who is left out, on the items that others rated too."""

    items: int
    person: int
    """Items on which the person agrees with more of the others than the judge does."""
    judge: int
    """Items on which the judge agrees with more of them."""

    @property
    def advantage(self) -> float:
        """Share of the items on which the judge is at least as good as the person."""
        return 1 - self.person / self.items

    def p_value(self, epsilon: float) -> float:
        """One-sided t-test of the hypothesis that the person is better than the judge by epsilon or more."""
        mean = (self.person - self.judge) / self.items
        variance = (self.person + self.judge - self.items * mean * mean) / (self.items - 1)
        # Rounding leaves a trace of variance where nothing varies.
        if variance < 1e-12:
            return 0.0 if mean < epsilon else 1.0
        return student_t((mean - epsilon) / sqrt(variance / self.items), self.items - 1)


class Alternative(NamedTuple):
    """The result of the test."""

    people: int
    """People who are tested."""
    won: int
    """People against whom the judge wins."""
    advantage: float
    """Average advantage probability: the mean over people of `LeftOut.advantage`."""

    @property
    def winning_rate(self) -> float:
        """Share of the people against whom the judge wins."""
        return self.won / self.people


def alternative(left_out: Sequence[LeftOut], epsilon: float) -> Alternative | Undefined:
    """The test, over the people with enough items."""
    tested = [person for person in left_out if person.items >= LEAST_ITEMS]
    if len(tested) < LEAST_PEOPLE:
        return Undefined.FEW_ANNOTATORS
    won = rejections([person.p_value(epsilon) for person in tested])
    return Alternative(len(tested), won, sum(person.advantage for person in tested) / len(tested))


def rejections(p_values: Sequence[float]) -> int:
    """How many hypotheses are rejected at a false discovery rate of 5 % under any dependence.

    Source: Benjamini and Yekutieli 2001, Annals of Statistics 29:1165-1188.
    """
    m = len(p_values)
    limit = SIGNIFICANCE / (m * sum(1 / rank for rank in range(1, m + 1)))
    return max((rank for rank, value in enumerate(sorted(p_values), 1) if value <= rank * limit), default=0)


def student_t(t: float, freedom: int) -> float:
    """Distribution function of Student's t, by the incomplete beta function.

    >>> round(student_t(-2.0, 10), 6)
    0.036694
    """
    tail = 0.5 * _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t), t * t / (freedom + t * t))
    return tail if t < 0 else 1 - tail


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Regularised incomplete beta function, by its continued fraction (Lentz 1976, Applied Optics 15:668-671).

    `rest`: 1 - x, which is exact where x is near 1.
    """
    if x == 0 or rest == 0:
        return x
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, rest, x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(rest)) / a
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or _TINY)
    value = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + term * d or _TINY)
            c = 1 + term / c or _TINY
            value *= c * d
        if abs(c * d - 1) < _PRECISION * 10:
            break
    return front * value
