"""Scores as probabilities: whether people pass as many items as the scores promise."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from aggregator.statistics.confusion import Undefined
from aggregator.statistics.what_if import Scored

CALIBRATION_BINS: Final = 10


class ScoreGroup(NamedTuple):
    """Comparisons with similar scores."""

    comparisons: int
    passes: int
    """Human passes among them."""
    total: float
    """Sum of the scores."""

    @property
    def score(self) -> float:
        """Mean score: the pass rate that the metric promises."""
        return self.total / self.comparisons

    @property
    def pass_rate(self) -> float:
        """Share that people pass."""
        return self.passes / self.comparisons


class Calibration(NamedTuple):
    """How far scores are from what people did."""

    brier: float
    """Mean squared difference of score and human result (Brier 1950, Monthly Weather Review 78:1-3)."""
    error: float
    """Expected calibration error: the mean difference of score and pass rate over the bins, by comparisons (Naeini,
    Cooper, Hauskrecht 2015, AAAI).
    """
    bins: Sequence[ScoreGroup]
    """By score, the lowest first; bins without a comparison are left out."""


def calibration(scored: Iterable[Scored]) -> Calibration | Undefined:
    """The calibration of scores, each the probability of a human pass."""
    counts = sorted(scored)
    if not counts:
        return Undefined.NO_SCORES
    if counts[0].score < 0 or counts[-1].score > 1:
        return Undefined.NOT_A_PROBABILITY
    n = sum(count.passes + count.fails for count in counts)
    squared = sum(count.passes * (1 - count.score) ** 2 + count.fails * count.score**2 for count in counts)
    edges = _edges(counts)
    sums = [[0, 0, 0.0] for _ in range(CALIBRATION_BINS)]
    for score, passes, fails in counts:
        of_bin = sums[bisect_left(edges, score)]
        of_bin[0] += passes + fails
        of_bin[1] += passes
        of_bin[2] += (passes + fails) * score
    bins = [ScoreGroup(int(number), int(passes), total) for number, passes, total in sums if number]
    error = sum(abs(each.passes - each.total) for each in bins) / n
    return Calibration(squared / n, error, bins)


def _edges(counts: Sequence[Scored]) -> list[float]:
    """Inner edges of bins of equal mass: deciles of the scores, interpolated linearly. Equal scores share a bin."""
    ends = list(accumulate(count.passes + count.fails for count in counts))
    edges = []
    for step in range(1, CALIBRATION_BINS):
        place, rest = divmod((ends[-1] - 1) * step, CALIBRATION_BINS)
        low, high = (counts[bisect_right(ends, min(at, ends[-1] - 1))].score for at in (place, place + 1))
        edges.append(low + (high - low) * (rest / CALIBRATION_BINS))
    return edges
