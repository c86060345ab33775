"""The corrected pass rate: golden cases, the equation it solves, and how often its interval holds the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.statistics.confusion import Confusion, Estimate, Undefined
from aggregator.statistics.corrected import corrected_pass_rate, rogan_gladen

rates = st.floats(0, 1)


@pytest.mark.parametrize(("pass_rate", "expected"), [(0.75, 0.70), (0.20, 0.0), (0.95, 1.0)])
def test_corrected_rates_equal_the_golden_cases(pass_rate: float, expected: float) -> None:
    assert rogan_gladen(pass_rate, 0.9, 0.6) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("tpr", "tnr"), [(0.5, 0.5), (0.4, 0.5), (1.0, 0.0), (0.0, 1.0)])
def test_a_judge_without_information_is_refused(tpr: float, tnr: float) -> None:
    assert rogan_gladen(0.5, tpr, tnr) is Undefined.NO_BETTER_THAN_CHANCE


@given(rates, st.floats(0.55, 1), st.floats(0.55, 1))
def test_the_corrected_rate_is_the_pass_rate_that_people_would_have(truth: float, tpr: float, tnr: float) -> None:
    # The judge's rates on items that people pass and fail, as a system of two equations.
    judge = np.array([[tpr, 1 - tnr], [1 - tpr, tnr]])
    says = judge @ np.array([truth, 1 - truth])
    solved = np.linalg.solve(judge, says)[0]
    # Solving divides the rounding error of sums near 1 by the judge's information.
    assert rogan_gladen(float(says[0]), tpr, tnr) == pytest.approx(solved, abs=1e-14 / (tpr + tnr - 1))


cells = st.integers(0, 40)


@st.composite
def calibrations(draw: st.DrawFn) -> Confusion:
    tp, fn, tn, fp = (draw(cells) for _ in range(4))
    n = tp + fn + tn + fp
    return Confusion(tp=tp, fn=fn, tn=tn, fp=fp, items=draw(st.integers(min(n, 1), n)))


@given(calibrations(), st.integers(0, 60), st.integers(0, 60))
def test_a_corrected_rate_is_refused_exactly_where_it_is_unidentified(counts: Confusion, one: int, other: int) -> None:
    passed, evaluated = min(one, other), max(one, other)
    rate = corrected_pass_rate(passed, evaluated, counts)
    if evaluated == 0:
        assert rate is Undefined.NO_VERDICTS
    elif counts.n == 0:
        assert rate is Undefined.NO_COMPARISONS
    elif counts.human_pass == 0:
        assert rate is Undefined.NO_HUMAN_PASS
    elif counts.human_fail == 0:
        assert rate is Undefined.NO_HUMAN_FAIL
    elif counts.tp * counts.tn <= counts.fn * counts.fp:
        assert rate is Undefined.NO_BETTER_THAN_CHANCE
    else:
        assert isinstance(rate, Estimate)
        assert 0 <= rate.low <= rate.value <= rate.high <= 1


def test_the_interval_is_that_of_the_published_method() -> None:
    """By hand, term by term: 150 of 200 pass; 45 of 50 passes found, 24 of 40 fails found."""
    z = 1.959963984540054
    p, se, sp = (150 + z**2 / 2) / (200 + z**2), 46 / 52, 25 / 42
    j = se + sp - 1
    pi = (p + sp - 1) / j
    shift = 2 * z**2 * (pi * se * (1 - se) / 52 - (1 - pi) * sp * (1 - sp) / 42)
    variance = (p * (1 - p) / (200 + z**2) + pi**2 * se * (1 - se) / 52 + (1 - pi) ** 2 * sp * (1 - sp) / 42) / j**2
    rate = corrected_pass_rate(150, 200, Confusion(tp=45, fn=5, tn=24, fp=16, items=90))
    assert isinstance(rate, Estimate)
    assert rate.value == pytest.approx(0.7, abs=1e-12)
    half = z * variance**0.5
    assert rate[1:] == pytest.approx((pi + shift - half, min(1, pi + shift + half)), abs=1e-12)


@pytest.mark.parametrize(
    ("truth", "tpr", "tnr", "annotated", "evaluated"),
    [(0.7, 0.9, 0.7, 150, 1000), (0.9, 0.95, 0.8, 200, 500), (0.3, 0.8, 0.9, 60, 200), (0.5, 1.0, 0.9, 40, 2000)],
)
def test_the_interval_holds_the_truth_nineteen_times_in_twenty(
    truth: float, tpr: float, tnr: float, annotated: int, evaluated: int
) -> None:
    random = np.random.default_rng(1)
    times = 2_000
    held = 0
    for _ in range(times):
        human_pass = int(random.binomial(annotated, truth))
        tp = int(random.binomial(human_pass, tpr))
        tn = int(random.binomial(annotated - human_pass, tnr))
        counts = Confusion(tp=tp, fn=human_pass - tp, tn=tn, fp=annotated - human_pass - tn, items=annotated)
        passed = int(random.binomial(evaluated, truth * tpr + (1 - truth) * (1 - tnr)))
        rate = corrected_pass_rate(passed, evaluated, counts)
        assert isinstance(rate, Estimate)
        held += rate.low <= truth <= rate.high
    assert 0.935 <= held / times <= 0.995


def test_each_noise_widens_the_interval() -> None:
    few, many = Confusion(tp=18, fn=2, tn=12, fp=8, items=40), Confusion(tp=180, fn=20, tn=120, fp=80, items=400)

    def width(passed: int, evaluated: int, counts: Confusion) -> float:
        rate = corrected_pass_rate(passed, evaluated, counts)
        assert isinstance(rate, Estimate)
        return rate.high - rate.low

    sharp = width(3000, 5000, many)
    assert width(3000, 5000, few) > 2 * sharp
    assert width(30, 50, many) > 2 * sharp
    # Ten annotators on each of 40 items have the information of 40 comparisons.
    crowd = Confusion(tp=180, fn=20, tn=120, fp=80, items=40)
    assert width(3000, 5000, crowd) == pytest.approx(width(3000, 5000, few), rel=1e-12)


def test_a_perfect_judge_on_few_items_is_not_certain() -> None:
    rate = corrected_pass_rate(80, 100, Confusion(tp=8, fn=0, tn=3, fp=0, items=11))
    assert isinstance(rate, Estimate)
    assert rate.value == 0.8
    assert rate.high - rate.low > 0.2
