"""Threshold what-if: the counts that other thresholds would have produced, from scores and ratings.

Cuts are measured on the comparisons from which they are chosen (in-sample), so they do a little worse on new ones.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor, inf
from typing import Final, NamedTuple

from aggregator.facts import Direction
from aggregator.statistics.confusion import Confusion, Undefined

BINS: Final = 25
"""Bins of the histogram."""
REACH: Final = BINS
"""Spreads of the bulk after which a score is not in it: the bulk would share one bin."""
STEPS: Final = 20
"""Steps of an even grid of cuts: 0.05 for scores in 0..1."""


class ScoredItems(NamedTuple):
    """Items with the same current evaluation."""

    judge: str
    score: float | None
    threshold: float | None
    direction: Direction
    passed: bool
    at: int
    """Time of the newest of the evaluations in ms."""
    items: int
    passes: int
    """Human passes of the items."""
    fails: int
    """Human fails of the items."""


class Scored(NamedTuple):
    """Comparisons with the same score."""

    score: float
    passes: int
    """Human passes."""
    fails: int
    """Human fails."""


class ThresholdCounts(NamedTuple):
    """The counts with a threshold. A score at the threshold passes."""

    cut: float | None
    """The threshold; None when nothing passes."""
    tp: int
    fn: int
    tn: int
    fp: int

    def counts(self, items: int) -> Confusion:
        """As a confusion matrix with this number of distinct items. Raises ValueError when it is impossible."""
        return Confusion(tp=self.tp, fn=self.fn, tn=self.tn, fp=self.fp, items=items)


class ScoreBin(NamedTuple):
    """Comparisons with scores from `low` to below `high`; the last bin includes `high`."""

    low: float
    high: float
    passes: int
    """Human passes."""
    fails: int
    """Human fails."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """The counts with every threshold."""

    direction: Direction
    """Which scores pass: higher or lower ones."""
    scores: Sequence[float]
    """The distinct scores, lowest first."""
    cuts: Sequence[ThresholdCounts]
    """One for each distinct score, from the lowest, and the one where nothing passes: last when higher scores pass,
    first when lower scores pass. Their tpr over fpr is the ROC curve.
    """

    @classmethod
    def of(cls, scored: Iterable[Scored], direction: Direction) -> "Sweep":
        """From scores in any order; equal scores add up. Raises ValueError without scores."""
        people: dict[float, tuple[int, int]] = {}
        for score, passes, fails in scored:
            before = people.get(score)
            people[score] = (passes, fails) if before is None else (before[0] + passes, before[1] + fails)
        if not people:
            raise ValueError("no scores")
        passes, fails = map(sum, zip(*people.values(), strict=True))
        best_first = sorted(people, reverse=direction == "higher")
        tp = fp = 0
        cuts = [ThresholdCounts(None, 0, passes, fails, 0)]
        for score in best_first:
            of_pass, of_fail = people[score]
            tp, fp = tp + of_pass, fp + of_fail
            cuts.append(ThresholdCounts(score, tp, passes - tp, fails - fp, fp))
        if direction == "higher":
            return cls(direction, best_first[::-1], cuts[::-1])
        return cls(direction, best_first, cuts)

    def at(self, threshold: float) -> ThresholdCounts:
        """The counts with this threshold."""
        index = (bisect_left if self.direction == "higher" else bisect_right)(self.scores, threshold)
        return self.cuts[index]._replace(cut=threshold)

    @property
    def auc(self) -> float | Undefined:
        """Area under the ROC curve: how often a human pass has a better score than a human fail, ties counted half.

        Source: Hanley and McNeil 1982, Radiology 143:29-36.
        """
        passes, fails = self.cuts[0].tp + self.cuts[0].fn, self.cuts[0].tn + self.cuts[0].fp
        if passes == 0:
            return Undefined.NO_HUMAN_PASS
        if fails == 0:
            return Undefined.NO_HUMAN_FAIL
        best_first = self.cuts[::-1] if self.direction == "higher" else self.cuts
        twice = sum((after.fp - before.fp) * (after.tp + before.tp) for before, after in pairwise(best_first))
        return twice / (2 * passes * fails)

    def best_alignment(self, near: float | None = None) -> ThresholdCounts:
        """The cut with the highest alignment, of several the nearest to `near`."""
        return self._best(lambda cut: cut.tp + cut.tn, near)

    def best_balanced_accuracy(self, near: float | None = None) -> ThresholdCounts | Undefined:
        """The cut with the highest balanced accuracy, which also has the highest Youden's J."""
        passes, fails = self.cuts[0].tp + self.cuts[0].fn, self.cuts[0].tn + self.cuts[0].fp
        if passes == 0:
            return Undefined.NO_HUMAN_PASS
        if fails == 0:
            return Undefined.NO_HUMAN_FAIL
        return self._best(lambda cut: cut.tp * fails + cut.tn * passes, near)

    def best_cost(self, cost: float, near: float | None = None) -> ThresholdCounts:
        """The cut with the lowest cost when one false positive costs as much as `cost` false negatives."""
        # Integers compare exactly and fast.
        of_fp, of_fn = cost.as_integer_ratio()
        return self._best(lambda cut: -(of_fp * cut.fp + of_fn * cut.fn), near)

    def _best(self, gain: Callable[[ThresholdCounts], int], near: float | None) -> ThresholdCounts:
        def distance(cut: ThresholdCounts) -> float:
            if cut.cut is None:
                return inf
            return 0.0 if near is None else abs(cut.cut - near)

        gains = [gain(cut) for cut in self.cuts]
        top = max(gains)
        return min((cut for cut, reached in zip(self.cuts, gains, strict=True) if reached == top), key=distance)

    def selection(self, most: int, keep: Iterable[ThresholdCounts] = ()) -> list[ThresholdCounts]:
        """At most `most` cuts (2 or more) at even steps, with both ends, and the cuts of `keep`."""
        last = len(self.cuts) - 1
        steps = range(last + 1) if last < most else (round(n * last / (most - 1)) for n in range(most))
        chosen = {*steps, *map(self._place, keep)}
        return [self.cuts[index] for index in sorted(chosen)]

    def _place(self, cut: ThresholdCounts) -> int:
        """The index of one of the cuts."""
        if self.direction == "higher":
            return len(self.scores) if cut.cut is None else bisect_left(self.scores, cut.cut)
        return 0 if cut.cut is None else 1 + bisect_left(self.scores, cut.cut)

    def span(self) -> tuple[float, float]:
        """A range that includes the bulk of the scores: 0 to 1 if possible, otherwise from integer to integer.

        Left out are scores farther from the quartiles of the distinct scores than `REACH` times the distance of those.
        A quarter of absurd scores is a quartile, so left out are also scores that are farther from the median than
        `REACH` squared times the upper median of these distances. That square keeps what is only uneven, such as a
        cluster at one end of a scale.
        """
        quarter = len(self.scores) // 4
        first, third = self.scores[quarter], self.scores[-1 - quarter]
        median = self.scores[(len(self.scores) - 1) // 2]
        distances = sorted(abs(score - median) for score in self.scores)
        # All scores are finite, but their difference may not be: then none is left out.
        reach, far = REACH * (third - first), REACH**2 * distances[-(len(distances) // 2)]
        low = self.scores[bisect_left(self.scores, max(first - reach, median - far))]
        high = self.scores[bisect_right(self.scores, min(third + reach, median + far)) - 1]
        if low >= 0 and high <= 1:
            return 0.0, 1.0
        start, end = floor(low), ceil(high)
        return float(start), float(end if end > start else start + 1)

    def beyond(self) -> int:
        """The number of comparisons whose score is outside the span."""
        low, high = self.span()
        best_first = self.cuts[::-1] if self.direction == "higher" else self.cuts
        return sum(
            after.tp - before.tp + after.fp - before.fp
            for before, after in pairwise(best_first)
            if after.cut is not None and not low <= after.cut <= high
        )

    def grid(self) -> list[ThresholdCounts]:
        """Cuts at even steps over the span, for a slider."""
        return [self.at(threshold) for threshold in _even(*self.span(), STEPS)]

    def histogram(self) -> list[ScoreBin]:
        """The scores in bins of equal width over the span; the first and last bin also count the scores beyond it."""
        edges = _even(*self.span(), BINS)
        passes, fails = [0] * BINS, [0] * BINS
        best_first = self.cuts[::-1] if self.direction == "higher" else self.cuts
        for before, after in pairwise(best_first):
            assert after.cut is not None
            index = max(0, min(bisect_right(edges, after.cut) - 1, BINS - 1))
            passes[index] += after.tp - before.tp
            fails[index] += after.fp - before.fp
        return [ScoreBin(*bounds) for bounds in zip(edges, edges[1:], passes, fails, strict=False)]


def _even(low: float, high: float, steps: int) -> list[float]:
    # Exact fractions, rounded once: step 3 of 20 is 0.15, the same float as a score of 0.15, which then passes.
    first, width = Fraction(low), Fraction(high) - Fraction(low)
    return [float(first + width * step / steps) for step in range(steps + 1)]
