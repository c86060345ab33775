"""The interval of the AUC: its definition, its coverage, and the ends where others have no width."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from aggregator.statistics.auc import auc_interval


def hanley_mcneil(area: float, passes: float, fails: float) -> float:
    """The variance as the paper has it, with its two probabilities, at the mean class size."""
    size = (passes + fails) / 2
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    return (area * (1 - area) + (size - 1) * (q1 - area**2) + (size - 1) * (q2 - area**2)) / (passes * fails)


@given(auc=st.floats(0.01, 0.99), passes=st.integers(1, 500), fails=st.integers(1, 500))
def test_each_end_is_196_of_its_own_standard_errors_away(auc: float, passes: int, fails: int) -> None:
    for end in auc_interval(auc, passes, fails):
        assert abs(auc - end) == pytest.approx(1.959964 * sqrt(hanley_mcneil(end, passes, fails)), rel=1e-5, abs=1e-7)


def test_a_perfect_separation_of_few_scores_is_not_sure() -> None:
    low, high = auc_interval(1.0, 4, 4)
    assert (high, low < 0.6) == (1.0, True)


@pytest.mark.parametrize(("distance", "passes", "fails"), [(0.0, 20, 30), (1.0, 50, 10), (2.0, 15, 15)])
def test_the_interval_covers_the_true_area_in_about_95_of_100_samples(distance: float, passes: int, fails: int) -> None:
    random = np.random.default_rng(20261129)
    good = random.normal(distance, 1, (1_000, passes))
    bad = random.normal(0, 1, (1_000, fails))
    estimates = (good[:, :, None] > bad[:, None, :]).mean(axis=(1, 2))
    true = norm.cdf(distance / sqrt(2))
    intervals = [auc_interval(float(auc), passes, fails) for auc in estimates]
    covered = sum(low <= true <= high for low, high in intervals) / len(intervals)
    assert 0.93 <= covered <= 0.99
