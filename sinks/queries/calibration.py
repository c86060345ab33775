"""Scores of a criterion and metric as probabilities of a human pass."""

import sqlite3
from collections.abc import Iterable
from typing import TypedDict

from aggregator.snapshot.build import Nulls
from aggregator.statistics.calibration import Calibration, ScoreGroup, calibration
from aggregator.statistics.confusion import Undefined, wilson
from aggregator.statistics.what_if import Scored, ScoredItems
from sinks.queries.results import WindowName
from sinks.queries.rows import scored
from sinks.queries.scope import Scope


class CalibrationBin(TypedDict):
    """Comparisons with similar scores."""

    comparisons: int
    """Number of comparisons."""
    score: float
    """Mean score: the share of passes that the metric promises."""
    pass_rate: float
    """Share of the comparisons that people pass."""
    low: float
    """Lower bound of the interval of `pass_rate`."""
    high: float
    """Upper bound of the interval of `pass_rate`."""


class ScoreCalibration(TypedDict):
    """Whether people pass as often as the scores promise. Where lower scores pass, a score counts as 1 - score."""

    queue: str
    """Name of the queue."""
    criterion: str
    """Name of the criterion."""
    metric: str
    """Name of the metric."""
    window: WindowName
    """Days that are counted: UTC days up to today, or all."""
    scored: int
    """Comparisons whose current evaluation has a score."""
    items: int
    """Distinct items among them."""
    brier: float | None
    """Brier score: mean squared difference of score and human result, 0 to 1. Lower is better."""
    calibration_error: float | None
    """Expected calibration error: mean difference of score and pass rate over the bins, 0 to 1. Lower is better."""
    bins: list[CalibrationBin]
    """At most 10 bins of equal mass, the lowest scores first; equal scores share a bin."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


def score_calibration(connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str) -> ScoreCalibration:
    """The scores of the compared items of a criterion and metric, as probabilities."""
    return calibration_of(scored(connection, scope, criterion, metric), scope, criterion, metric)


def calibration_of(compared: Iterable[ScoredItems], scope: Scope, criterion: str, metric: str) -> ScoreCalibration:
    """The same of the compared items, by their scores."""
    with_score = [row for row in compared if row.score is not None]
    comparisons = sum(row.passes + row.fails for row in with_score)
    items = sum(row.items for row in with_score)
    directions = {row.direction for row in with_score}
    result = (
        calibration(
            Scored(row.score if row.direction == "higher" else 1 - row.score, row.passes, row.fails)
            for row in with_score
            if row.score is not None
        )
        if len(directions) < 2
        else Undefined.MIXED_DIRECTIONS
    )
    nulls = Nulls()
    return ScoreCalibration(
        queue=scope.queue,
        criterion=criterion,
        metric=metric,
        window=scope.window.value,
        scored=comparisons,
        items=items,
        brier=nulls.number("brier", result.brier if isinstance(result, Calibration) else result),
        calibration_error=nulls.number(
            "calibration_error", result.error if isinstance(result, Calibration) else result
        ),
        bins=[_bin(each, items / comparisons) for each in result.bins] if isinstance(result, Calibration) else [],
        undefined=nulls.reasons,
    )


def _bin(each: ScoreGroup, share: float) -> CalibrationBin:
    """A bin; `share`: distinct items by comparison."""
    low, high = wilson(each.pass_rate, each.comparisons * share)
    return CalibrationBin(comparisons=each.comparisons, score=each.score, pass_rate=each.pass_rate, low=low, high=high)
