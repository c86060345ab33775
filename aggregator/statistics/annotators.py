"""How a person's ratings compare with those of the other people who rated the same items."""

from math import sqrt
from typing import NamedTuple

from aggregator.statistics.confusion import Estimate, Undefined, wilson


class SharedItems(NamedTuple):
    """Items that a person and at least one other person rated. What others did on an item is their pass rate on it."""

    items: int
    passes: int
    """Items that the person passes."""
    others: float
    """Sum over items of what others did."""
    others_squared: float
    """Sum of its squares."""
    both: float
    """Sum of it over the items that the person passes."""
    pairs: int
    """Pairs of the person with another person on an item."""
    agreed: int
    """Pairs of the same result, pass or fail."""

    @property
    def agreement(self) -> Estimate | Undefined:
        """Share of the pairs that agree, with the Wilson interval of the items."""
        if not self.items:
            return Undefined.NO_PAIRS
        share = self.agreed / self.pairs
        return Estimate(share, *wilson(share, self.items))

    @property
    def pass_rate(self) -> Estimate | Undefined:
        """Share of the items that the person passes."""
        return self._rate(self.passes)

    @property
    def others_pass_rate(self) -> Estimate | Undefined:
        """Mean of what others did."""
        return self._rate(self.others)

    @property
    def strictness(self) -> Estimate | Undefined:
        """Pass rate of the others minus that of the person, -1 to 1: above 0 the person is stricter.

        The interval is that of a difference of paired rates, from the Wilson intervals of both and their correlation.
        Source: Newcombe 1998, Statistics in Medicine 17:2635-2650.
        """
        theirs, own = self.others_pass_rate, self.pass_rate
        if isinstance(theirs, Undefined):
            return theirs
        assert not isinstance(own, Undefined)
        difference, correlation = theirs.value - own.value, self._correlation

        def reach(one: float, other: float) -> float:
            return sqrt(max(0.0, one * one - 2 * correlation * one * other + other * other))

        return Estimate(
            difference,
            max(-1.0, difference - reach(theirs.value - theirs.low, own.high - own.value)),
            min(1.0, difference + reach(theirs.high - theirs.value, own.value - own.low)),
        )

    def _rate(self, total: float) -> Estimate | Undefined:
        if not self.items:
            return Undefined.NO_PAIRS
        # Sums of fractions may be a little off.
        share = min(1.0, max(0.0, total / self.items))
        return Estimate(share, *wilson(share, self.items))

    @property
    def _correlation(self) -> float:
        """Correlation of the person with the others over items; 0 where one side never varies."""
        n = self.items
        own = self.passes * (n - self.passes)
        theirs = n * self.others_squared - self.others * self.others
        # Rounding leaves a trace of variance where nothing varies.
        if own == 0 or theirs < 1e-9 * n * n:
            return 0.0
        return min(1.0, max(-1.0, (n * self.both - self.passes * self.others) / sqrt(own * theirs)))
