"""Brier score, calibration error and bins against scikit-learn and numpy."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from aggregator.statistics.calibration import Calibration, ScoreGroup, calibration
from aggregator.statistics.confusion import Undefined
from aggregator.statistics.what_if import Scored

FloatArray = npt.NDArray[np.float64]

scored = st.lists(
    st.tuples(st.integers(0, 64).map(lambda step: step / 64), st.integers(0, 4), st.integers(0, 4)), max_size=60
)


def single(counts: list[tuple[float, int, int]]) -> tuple[FloatArray, FloatArray]:
    """Scores and human results of each comparison."""
    scores = [score for score, passes, fails in counts for _ in range(passes + fails)]
    results = [result for _, passes, fails in counts for result in [1] * passes + [0] * fails]
    return np.array(scores), np.array(results, dtype=float)


@given(scored)
def test_calibration_is_that_of_scikit_learn(counts: list[tuple[float, int, int]]) -> None:
    scores, results = single(counts)
    found = calibration(Scored(*count) for count in counts if count[1] + count[2])
    if not len(scores):
        assert found is Undefined.NO_SCORES
        return
    assert isinstance(found, Calibration)
    assert found.brier == pytest.approx(brier_score_loss(results, scores, pos_label=1), rel=1e-12, abs=1e-12)
    edges = np.percentile(scores, np.linspace(0, 100, 11))
    places = np.searchsorted(edges[1:-1], scores)
    expected = [
        (int(np.sum(places == place)), results[places == place].mean(), scores[places == place].mean())
        for place in range(10)
        if np.any(places == place)
    ]
    assert [(each.comparisons, each.pass_rate, each.score) for each in found.bins] == [
        pytest.approx(each) for each in expected
    ]
    error = sum(number * abs(rate - score) for number, rate, score in expected) / len(scores)
    assert found.error == pytest.approx(error, abs=1e-12)
    if len(set(results)) == 2:
        rates, means = calibration_curve(results, scores, n_bins=10, strategy="quantile")
        assert [each.pass_rate for each in found.bins] == pytest.approx(list(rates))
        assert [each.score for each in found.bins] == pytest.approx(list(means))


def test_golden_numbers() -> None:
    found = calibration([Scored(0.2, 1, 3), Scored(0.5, 2, 2), Scored(0.9, 4, 0)])
    assert isinstance(found, Calibration)
    assert (found.brier, found.error) == pytest.approx(((0.64 + 3 * 0.04 + 4 * 0.25 + 4 * 0.01) / 12, (0.2 + 0.4) / 12))
    assert [each[:2] for each in found.bins] == [(4, 1), (4, 2), (4, 4)]


def test_scores_beyond_0_and_1_are_no_probabilities() -> None:
    assert calibration([Scored(0.5, 1, 1), Scored(1.01, 1, 0)]) is Undefined.NOT_A_PROBABILITY
    assert calibration([Scored(-0.1, 1, 1)]) is Undefined.NOT_A_PROBABILITY
    found = calibration([Scored(0.0, 0, 1), Scored(1.0, 1, 0)])
    assert found == Calibration(0.0, 0.0, [ScoreGroup(1, 0, 0.0), ScoreGroup(1, 1, 1.0)])
