"""Scales of a metric's scores and thresholds: whether one threshold can judge all of them.

A new threshold in a new judge version is legitimate: its verdicts are counted apart. Within one version it is a
mistake, as are scores in 0..1 and 0..100 under one name.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

_FACTOR: Final = 3
"""A threshold above 1 that is this many times one of at most 1 is not of its scale: 0.7 and 70, or 0.5 and 3."""
_TENS: Final = 10
"""Scores from here on are not of a scale of fractions, where none is between."""


class ScoredVerdict(NamedTuple):
    """What a verdict with a score was made of."""

    judge: str
    threshold: float | None
    score: float


class ScaleCheck(NamedTuple):
    """Thresholds and scales of some verdicts of one metric."""

    thresholds: Mapping[str, Sequence[float]]
    """Different thresholds, lowest first, by judge version."""
    two_scales: bool
    """Whether the thresholds, or the scores of a version, look to be on two scales."""


def check_scales(verdicts: Iterable[ScoredVerdict]) -> ScaleCheck:
    """The thresholds of each judge version, and whether there are two scales.

    >>> check_scales([ScoredVerdict("v1", 0.7, 0.9), ScoredVerdict("v1", 70, 85)])
    ScaleCheck(thresholds={'v1': [0.7, 70]}, two_scales=True)
    """
    scores: dict[str, set[float]] = defaultdict(set)
    thresholds: dict[str, set[float]] = defaultdict(set)
    for judge, threshold, score in verdicts:
        scores[judge].add(score)
        thresholds[judge].update(() if threshold is None else (threshold,))
    every = {abs(threshold) for of_judge in thresholds.values() for threshold in of_judge} - {0}
    two = _apart(every) or any(_split(scores[judge], thresholds[judge]) for judge in scores)
    return ScaleCheck({judge: sorted(thresholds[judge]) for judge in sorted(scores)}, two)


def _apart(thresholds: Iterable[float]) -> bool:
    fractions = [threshold for threshold in thresholds if threshold <= 1]
    return any(threshold > 1 and threshold >= _FACTOR * min(fractions) for threshold in thresholds if fractions)


def _split(scores: Iterable[float], thresholds: Iterable[float]) -> bool:
    """Whether scores of a version are fractions and tens with nothing between, and its thresholds are of these."""
    sizes = [abs(score) for score in scores]
    between = [size for size in (*sizes, *map(abs, thresholds)) if 1 < size < _TENS]
    fractions, tens = any(0 < size < 1 for size in sizes), any(size >= _TENS for size in sizes)
    return fractions and tens and not between
