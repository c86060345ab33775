"""An interval for the area under the ROC curve."""

from math import sqrt

from aggregator.statistics.bisection import last_inside
from aggregator.statistics.confusion import Z_95


def auc_interval(auc: float, passes: float, fails: float) -> tuple[float, float]:
    """95 % interval of an AUC estimated from `passes` and `fails` independent scores of the two human results.

    Newcombe 2006, Statistics in Medicine 25:559-573, method 5: the score interval with Hanley and McNeil's variance. It
    is never empty, also where one class has one member or the AUC is 0 or 1 (DeLong's has no width there), and does
    not leave 0..1. Ties make it a little too wide.

    Args:
        auc: the estimate, in 0..1.
        passes, fails: sizes of the classes, above 0. Where several annotators rated an item they are not independent:
            scale both by distinct items / comparisons.

    >>> [round(bound, 4) for bound in auc_interval(0.8, 50, 50)]
    [0.6973, 0.8712]
    """
    return _edge(auc, 0.0, auc, passes, fails), _edge(auc, 1.0, auc, passes, fails)


def _edge(start: float, end: float, auc: float, passes: float, fails: float) -> float:
    """The AUC farthest from the estimate towards `end` that the estimate does not contradict."""

    def compatible(area: float) -> bool:
        return abs(auc - area) <= Z_95 * sqrt(_variance(area, passes, fails))

    return last_inside(compatible, start, end)


def _variance(area: float, passes: float, fails: float) -> float:
    """Hanley and McNeil 1982 (Radiology 143:29-36), with the mean class size in place of both, as Newcombe has it."""
    mean = (passes + fails) / 2
    spread = (1 - area) / (2 - area) + area / (1 + area)
    return area * (1 - area) * (1 + (mean - 1) * spread) / (passes * fails)
