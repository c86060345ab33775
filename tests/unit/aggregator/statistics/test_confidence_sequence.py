"""The confidence sequence: golden values, its definition, and its promise over all looks."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln, xlogy

from aggregator.statistics.confidence_sequence import confidence_sequence


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (36, 40, 0.7187, 0.9832),
        (90, 100, 0.7890, 0.9658),
        (180, 200, 0.8227, 0.9526),
        (850, 1000, 0.8107, 0.8843),
        (30, 30, 0.8182, 1),
        (0, 5, 0, 0.8282),
        (41.3, 50.2, 0.6441, 0.9377),
        (0, 0, 0, 1),
    ],
)
def test_bounds_are_the_published_ones(k: float, n: float, low: float, high: float) -> None:
    assert confidence_sequence(k, n) == pytest.approx((low, high), abs=5e-5)


def log_wealth(k: npt.ArrayLike, n: npt.ArrayLike, p: float) -> npt.NDArray[np.float64]:
    """What a bettor against p has won after k of n, as a logarithm: by scipy, and by no code of the product."""
    passed = np.asarray(k)
    failed = np.asarray(n) - passed
    won: npt.NDArray[np.float64] = (
        betaln(8 + passed, 2 + failed) - betaln(8, 2) - xlogy(passed, p) - xlogy(failed, 1 - p)
    )
    return won


@given(n=st.floats(0.1, 5_000), share=st.floats(0, 1))
def test_inside_the_bounds_the_wealth_is_under_twenty_and_outside_above(n: float, share: float) -> None:
    k = share * n
    low, high = confidence_sequence(k, n)
    assert low <= share <= high
    for bound, outside in ((low, low - 1e-6), (high, high + 1e-6)):
        if 1e-6 < bound < 1 - 1e-6:
            assert log_wealth(np.array(k), np.array(n), bound) == pytest.approx(np.log(20), abs=1e-6)
            assert log_wealth(np.array(k), np.array(n), outside) > np.log(20)


@pytest.mark.parametrize("limit", [0.7, 0.8])
def test_a_judge_at_the_limit_is_called_better_in_at_most_one_of_twenty_histories(limit: float) -> None:
    looks, histories = 2_000, 4_000
    passed = np.cumsum(np.random.default_rng(20261129).random((histories, looks)) < limit, axis=1, dtype=np.int32)
    n = np.arange(1, looks + 1)
    # The lower bound exceeds the limit where the limit is outside, below the share.
    above = (passed / n > limit) & (log_wealth(passed, n, limit) >= np.log(20))
    ever = above[:, 29:].any(axis=1).mean()
    assert 0 < ever <= 0.05


def test_a_share_of_more_than_all_is_refused() -> None:
    with pytest.raises(ValueError, match="5 of 4 is not a share"):
        confidence_sequence(5, 4)
