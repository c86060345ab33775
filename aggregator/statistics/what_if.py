"""Threshold what-if: the counts that other thresholds would have given, from scores and what people said.

Everything is measured on the comparisons that a cut is picked from (in-sample): on new ones it does a little worse.
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
STEPS: Final = 20
"""Steps of an even grid of cuts: 0.05 for scores in 0..1."""


class Scored(NamedTuple):
    """Comparisons with the same score, by what people said."""

    score: float
    passes: int
    fails: int


class ThresholdCounts(NamedTuple):
    """The counts with a threshold at `cut`; a score at the threshold passes. None: nothing passes."""

    cut: float | None
    tp: int
    fn: int
    tn: int
    fp: int

    def counts(self, items: int) -> Confusion:
        """As a confusion matrix with so many distinct items. Raises ValueError when they do not fit."""
        return Confusion(tp=self.tp, fn=self.fn, tn=self.tn, fp=self.fp, items=items)


class ScoreBin(NamedTuple):
    """Comparisons with scores from `low` to below `high`; in the last bin also at it."""

    low: float
    high: float
    passes: int
    fails: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """What every threshold would give.

    Attributes:
        direction: which side passes.
        scores: the different ones, lowest first.
        cuts: one per different score and the one where nothing passes, from the lowest: that one is last when higher
            scores pass, first when lower ones do. Their tpr over fpr is the ROC.
    """

    direction: Direction
    scores: Sequence[float]
    cuts: Sequence[ThresholdCounts]

    @classmethod
    def of(cls, scored: Iterable[Scored], direction: Direction) -> "Sweep":
        """From scores in any order; equal ones add up. Raises ValueError without any."""
        people: dict[float, tuple[int, int]] = {}
        for score, passes, fails in scored:
            before = people.get(score, (0, 0))
            people[score] = before[0] + passes, before[1] + fails
        if not people:
            raise ValueError("no scores")
        passes, fails = map(sum, zip(*people.values(), strict=True))
        best_first = sorted(people, reverse=direction == "higher")
        tp = fp = 0
        cuts = [ThresholdCounts(None, 0, passes, fails, 0)]
        for score in best_first:
            tp, fp = tp + people[score][0], fp + people[score][1]
            cuts.append(ThresholdCounts(score, tp, passes - tp, fails - fp, fp))
        if direction == "higher":
            return cls(direction, best_first[::-1], cuts[::-1])
        return cls(direction, best_first, cuts)

    def at(self, threshold: float) -> ThresholdCounts:
        """The counts with any threshold."""
        place = (bisect_left if self.direction == "higher" else bisect_right)(self.scores, threshold)
        return self.cuts[place]._replace(cut=threshold)

    @property
    def auc(self) -> float | Undefined:
        """Area under the ROC: how often a comparison that people pass has the better score than one that they fail,
        ties by half (Hanley and McNeil 1982, Radiology 143:29-36).
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
        """The cut with the highest alignment; of several the one nearest to `near`."""
        return self._best(lambda cut: cut.tp + cut.tn, near)

    def best_balanced_accuracy(self, near: float | None = None) -> ThresholdCounts | Undefined:
        """The cut with the highest balanced accuracy, which is that of Youden's J; needs both human results."""
        passes, fails = self.cuts[0].tp + self.cuts[0].fn, self.cuts[0].tn + self.cuts[0].fp
        if passes == 0:
            return Undefined.NO_HUMAN_PASS
        if fails == 0:
            return Undefined.NO_HUMAN_FAIL
        return self._best(lambda cut: cut.tp * fails + cut.tn * passes, near)

    def best_cost(self, cost: float, near: float | None = None) -> ThresholdCounts:
        """The cheapest cut when one false positive is worth `cost` false negatives."""
        # Whole numbers: the order is exact, and quick.
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
        """At most `most` (two or more) cuts at even places, both ends among them, and those of `keep`."""
        last = len(self.cuts) - 1
        places = range(last + 1) if last < most else (round(n * last / (most - 1)) for n in range(most))
        chosen = {*places, *(self.cuts.index(cut) for cut in keep)}
        return [self.cuts[place] for place in sorted(chosen)]

    def span(self) -> tuple[float, float]:
        """A range of round numbers that holds all scores: 0..1 where it does, else whole numbers."""
        low, high = self.scores[0], self.scores[-1]
        if low >= 0 and high <= 1:
            return 0.0, 1.0
        start, end = floor(low), ceil(high)
        return float(start), float(end if end > start else start + 1)

    def grid(self) -> list[ThresholdCounts]:
        """Cuts at even steps over the span, a slider's."""
        return [self.at(threshold) for threshold in _even(*self.span(), STEPS)]

    def histogram(self) -> list[ScoreBin]:
        """Scores over the span in even bins."""
        edges = _even(*self.span(), BINS)
        passes, fails = [0] * BINS, [0] * BINS
        best_first = self.cuts[::-1] if self.direction == "higher" else self.cuts
        for before, after in pairwise(best_first):
            assert after.cut is not None
            place = min(bisect_right(edges, after.cut) - 1, BINS - 1)
            passes[place] += after.tp - before.tp
            fails[place] += after.fp - before.fp
        return [ScoreBin(*bounds) for bounds in zip(edges, edges[1:], passes, fails, strict=False)]


def _even(low: float, high: float, steps: int) -> list[float]:
    # Exact, then rounded once: the step at 3 of 20 is 0.15, and a score of 0.15 is on its passing side.
    first, width = Fraction(low), Fraction(high) - Fraction(low)
    return [float(first + width * step / steps) for step in range(steps + 1)]
