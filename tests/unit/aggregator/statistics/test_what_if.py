"""Threshold what-if against scikit-learn and numpy, and against simply applying each threshold."""

import math
import warnings
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics

from aggregator.facts import Direction
from aggregator.statistics.confusion import Undefined
from aggregator.statistics.what_if import BINS, Scored, Sweep, ThresholdCounts

directions = st.sampled_from(("higher", "lower"))
scores = st.sampled_from((0.0, 0.05, 0.15, 0.3, 0.5, 0.7, 1.0)) | st.floats(-1e3, 1e3) | st.integers(1, 5).map(float)
people = st.tuples(scores, st.booleans())
samples = st.lists(people, min_size=1, max_size=40)
Sample = list[tuple[float, bool]]


def swept(sample: Sample, direction: Direction) -> Sweep:
    return Sweep.of((Scored(score, int(human), int(not human)) for score, human in sample), direction)


def applied(sample: Sample, direction: Direction, threshold: float) -> ThresholdCounts:
    """The counts of a threshold, comparison by comparison."""
    outcomes = [(human, score >= threshold if direction == "higher" else score <= threshold) for score, human in sample]
    return ThresholdCounts(
        threshold,
        tp=outcomes.count((True, True)),
        fn=outcomes.count((True, False)),
        tn=outcomes.count((False, False)),
        fp=outcomes.count((False, True)),
    )


@given(samples, directions, scores)
def test_every_cut_counts_as_if_it_had_been_the_threshold(
    sample: Sample, direction: Direction, threshold: float
) -> None:
    sweep = swept(sample, direction)
    assert sweep.at(threshold) == applied(sample, direction, threshold)
    for cut in sweep.cuts:
        if cut.cut is None:
            assert cut.tp == cut.fp == 0
        else:
            assert cut == applied(sample, direction, cut.cut)
    assert [cut.cut for cut in sweep.cuts if cut.cut is not None] == sorted({score for score, _ in sample})
    assert sweep.cuts[-1 if direction == "higher" else 0].cut is None


@given(samples, directions)
def test_auc_and_roc_are_those_of_sklearn(sample: Sample, direction: Direction) -> None:
    sweep = swept(sample, direction)
    truth = np.array([human for _, human in sample])
    goodness = np.array([score if direction == "higher" else -score for score, _ in sample])
    if len(set(truth)) == 1:
        with warnings.catch_warnings():
            # sklearn warns where a class is absent, and returns nan.
            warnings.simplefilter("ignore")
            assert math.isnan(metrics.roc_auc_score(truth, goodness))
        assert sweep.auc == (Undefined.NO_HUMAN_FAIL if truth[0] else Undefined.NO_HUMAN_PASS)
        return
    assert sweep.auc == pytest.approx(metrics.roc_auc_score(truth, goodness), rel=1e-12, abs=1e-12)
    fpr, tpr, _ = metrics.roc_curve(truth, goodness, drop_intermediate=False)
    ours = sweep.cuts[::-1] if direction == "higher" else sweep.cuts
    assert [cut.fp / (cut.fp + cut.tn) for cut in ours] == pytest.approx(list(fpr), rel=1e-12, abs=1e-12)
    assert [cut.tp / (cut.tp + cut.fn) for cut in ours] == pytest.approx(list(tpr), rel=1e-12, abs=1e-12)


@given(samples, directions, st.none() | scores, st.floats(0.01, 100))
def test_no_threshold_at_all_beats_the_best_cuts(
    sample: Sample, direction: Direction, near: float | None, cost: float
) -> None:
    sweep = swept(sample, direction)
    truth = [human for _, human in sample]
    thresholds = [-math.inf, math.inf, *(score for score, _ in sample)]
    predictions = [
        [score >= cut if direction == "higher" else score <= cut for score, _ in sample] for cut in thresholds
    ]
    best = sweep.best_alignment(near)
    accuracy = max(metrics.accuracy_score(truth, one) for one in predictions)
    assert best.counts(1).alignment[0] == pytest.approx(accuracy, rel=1e-12)
    cheapest = sweep.best_cost(cost, near)
    costs = [Fraction(cost) * cut.fp + cut.fn for cut in (applied(sample, direction, t) for t in thresholds)]
    assert Fraction(cost) * cheapest.fp + cheapest.fn == min(costs)
    balanced = sweep.best_balanced_accuracy(near)
    if isinstance(balanced, Undefined):
        assert len(set(truth)) == 1
    else:
        expected = max(metrics.balanced_accuracy_score(truth, one) for one in predictions)
        assert balanced.counts(1).balanced_accuracy == pytest.approx(expected, rel=1e-12)


def test_of_equally_good_cuts_the_nearest_is_chosen() -> None:
    tied = swept([(0.2, True), (0.4, False), (0.6, True), (0.8, False)], "lower")
    assert {cut.cut for cut in tied.cuts if cut.tp + cut.tn == 3} == {0.2, 0.6}
    assert (tied.best_alignment(0.25).cut, tied.best_alignment(0.7).cut) == (0.2, 0.6)


def test_the_stated_cost_moves_the_cut() -> None:
    sample = [(0.3, True), (0.4, False), (0.5, True), (0.6, False), (0.7, True)]
    sweep = swept(sample, "higher")
    assert sweep.best_cost(0.1).cut == 0.3
    assert sweep.best_cost(10).cut == 0.7


@given(samples, directions)
def test_the_histogram_equals_numpys(sample: Sample, direction: Direction) -> None:
    sweep = swept(sample, direction)
    bars = sweep.histogram()
    edges = [bars[0].low, *(bar.high for bar in bars)]
    assert len(bars) == BINS
    assert edges == pytest.approx(np.linspace(*sweep.span(), BINS + 1), rel=1e-12, abs=1e-12)
    for result, counted in ((True, [bar.passes for bar in bars]), (False, [bar.fails for bar in bars])):
        expected, _ = np.histogram(
            np.clip([score for score, human in sample if human is result], *sweep.span()), bins=edges
        )
        assert counted == list(expected)


@pytest.mark.parametrize(
    ("scores", "span"),
    [([0.2, 0.9], (0, 1)), ([1.0], (0, 1)), ([1.0, 5.0], (1, 5)), ([3.0], (3, 4)), ([-0.5, 0.5], (-1, 1))],
)
def test_the_span_holds_all_scores_in_round_numbers(scores: list[float], span: tuple[float, float]) -> None:
    sweep = swept([(score, True) for score in scores], "higher")
    assert sweep.span() == span


def test_the_grid_has_round_steps_and_a_score_on_a_step_passes() -> None:
    sweep = swept([(0.15, True), (0.7, False)], "higher")
    assert [cut.cut for cut in sweep.grid()] == [step / 20 for step in range(21)]
    assert sweep.grid()[3] == ThresholdCounts(0.15, tp=1, fn=0, tn=0, fp=1)
    assert sweep.grid()[4] == ThresholdCounts(0.2, tp=0, fn=1, tn=0, fp=1)


@given(st.sets(st.floats(0, 1), min_size=1, max_size=60), st.integers(2, 20), st.data())
def test_a_selection_keeps_the_ends_and_the_scores_to_keep(scores: set[float], most: int, data: st.DataObject) -> None:
    sweep = swept([(score, True) for score in scores], "higher")
    keep = data.draw(st.lists(st.sampled_from(sweep.cuts), max_size=3))
    chosen = sweep.selection(most, keep)
    assert chosen[0] == sweep.cuts[0]
    assert chosen[-1] == sweep.cuts[-1]
    assert set(keep) <= set(chosen) <= set(sweep.cuts)
    assert len(chosen) <= most + len(keep)
    assert chosen == sorted(chosen, key=sweep.cuts.index)
    assume(len(sweep.cuts) <= most)
    assert chosen == list(sweep.cuts)


def test_the_largest_scores_there_are_do_not_overflow() -> None:
    sweep = swept([(-1.7e308, True), (1.7e308, False)], "higher")
    assert sum(bar.passes + bar.fails for bar in sweep.histogram()) == 2
    assert [cut.cut for cut in sweep.grid()] == sorted(cut.cut for cut in sweep.grid() if cut.cut is not None)


def test_a_sweep_without_scores_is_refused() -> None:
    with pytest.raises(ValueError, match="no scores"):
        Sweep.of([], "higher")


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_scores_far_from_the_bulk_do_not_widen_the_range(direction: Direction) -> None:
    sweep = Sweep.of([Scored(score, 1, 0) for score in (-3.0, 0.5, 12.0, 85.0, 90.0, 95.0, 9.2e124)], direction)
    assert sweep.span() == (-3.0, 95.0)
    assert sweep.beyond() == 1
    assert sum(bar.passes for bar in sweep.histogram()) == 7
    assert sweep.histogram()[-1].passes >= 2
    low = Sweep.of([Scored(score, 1, 1) for score in (-1e300, 0.2, 0.4, 0.6, 0.8)], direction)
    assert (low.span(), low.beyond(), low.histogram()[0].passes) == ((0.0, 1.0), 2, 1)
    third = Sweep.of([Scored(score, 1, 0) for score in (-3.0, 0.5, 12.0, 85.0, 9.2e124, 1.8e308)], direction)
    assert (third.span(), third.beyond()) == ((-3.0, 85.0), 2)


@pytest.mark.parametrize(
    "scores", [(0, 1, 5, 9, 50), (10, 10.001, 50), [0, 25, 50, 75, *(99 + number / 10 for number in range(8))]], ids=len
)
def test_no_score_is_left_out_of_a_wide_bulk(scores: Sequence[float]) -> None:
    sweep = Sweep.of([Scored(float(score), 1, 1) for score in scores], "higher")
    assert sweep.beyond() == 0
    assert sweep.span()[1] >= max(scores)
