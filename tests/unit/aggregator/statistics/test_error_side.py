"""The side of a metric's errors against scipy's binomial test."""

from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from aggregator.statistics.error_side import ErrorSide, error_side


@given(fn=st.integers(0, 200), fp=st.integers(0, 200))
def test_a_side_is_named_exactly_when_the_binomial_test_names_it(fn: int, fp: int) -> None:
    side = error_side(fn, fp)
    if fn + fp == 0:
        assert side is ErrorSide.NO_ERRORS
    elif binomtest(fn, fn + fp).pvalue >= 0.05:
        assert side is ErrorSide.UNCLEAR
    else:
        assert side is (ErrorSide.TOO_STRICT if fn > fp else ErrorSide.TOO_LENIENT)


def test_three_errors_of_one_side_name_no_side_and_six_do() -> None:
    assert error_side(3, 0) is ErrorSide.UNCLEAR
    assert error_side(6, 0) is ErrorSide.TOO_STRICT
    assert error_side(0, 6) is ErrorSide.TOO_LENIENT
