"""Every statistic against worked examples and against reference libraries."""

import math
import warnings
from collections.abc import Callable

import krippendorff
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

from aggregator.statistics.confusion import Confusion, Estimate, Undefined, wilson

Said = npt.NDArray[np.int_]
counts = st.integers(0, 3) | st.integers(0, 60)


@st.composite
def confusions(draw: st.DrawFn) -> Confusion:
    tp, fn, tn, fp = (draw(counts) for _ in range(4))
    n = tp + fn + tn + fp
    assume(n > 0)
    return Confusion(tp=tp, fn=fn, tn=tn, fp=fp, items=draw(st.integers(1, n)))


def ratings(c: Confusion) -> tuple[Said, Said]:
    """The comparisons one by one: human passes, and passes of the metric."""
    cells = [c.tp, c.fn, c.tn, c.fp]
    return np.repeat([1, 1, 0, 0], cells), np.repeat([1, 0, 0, 1], cells)


def value(number: Estimate | float | Undefined) -> float | Undefined:
    return number.value if isinstance(number, Estimate) else number


# tp, fn, fp, tn; then alignment, its interval, baseline, kappa, ac1, mcc, alpha, tpr, tnr, bias.
GOLDEN = [
    ((40, 10, 5, 45), (0.85, 0.7672, 0.9069, 0.5, 0.7, 0.7007, 0.7035, 0.7008, 0.8, 0.9, -0.05)),
    ((90, 0, 10, 0), (0.9, 0.8256, 0.9448, 0.9, 0, 0.8895, None, -0.0474, 1, 0, 0.1)),
    ((85, 5, 5, 5), (0.9, 0.8256, 0.9448, 0.9, 0.4444, 0.878, 0.4444, 0.4472, 0.9444, 0.5, 0)),
    ((45, 5, 30, 20), (0.65, 0.5525, 0.7364, 0.5, 0.3, 0.3412, 0.3464, 0.2571, 0.9, 0.4, 0.25)),
    ((93, 4, 2, 1), (0.94, 0.8752, 0.9722, 0.97, 0.2208, 0.935, 0.2286, 0.2227, 0.9588, 0.3333, -0.02)),
    ((0, 3, 2, 0), (0, 0, 0.4345, 0.6, -0.9231, -1, -1, -0.8, 0, 0, -0.2)),
    ((1, 0, 0, 0), (1, 0.2065, 1, 1, None, 1, None, None, 1, None, 0)),
]


@pytest.mark.parametrize(("cells", "expected"), GOLDEN)
def test_statistics_equal_the_golden_vectors(
    cells: tuple[int, int, int, int], expected: tuple[float | None, ...]
) -> None:
    tp, fn, fp, tn = cells
    c = Confusion(tp=tp, fn=fn, tn=tn, fp=fp, items=sum(cells))
    assert isinstance(c.alignment, Estimate)
    numbers = (*c.alignment, c.baseline, c.kappa, c.ac1, c.mcc, c.alpha, value(c.tpr), value(c.tnr), c.bias)
    rounded = tuple(None if isinstance(number, Undefined) else round(number, 4) for number in numbers)
    assert rounded == expected


def sklearn_kappa(c: Confusion) -> float:
    return float(metrics.cohen_kappa_score(*ratings(c), labels=[0, 1]))


def scipy_pearson(c: Confusion) -> float:
    return float(pearsonr(*ratings(c)).statistic) if c.n > 1 else math.nan


def krippendorff_alpha(c: Confusion) -> float:
    return float(
        krippendorff.alpha(reliability_data=np.array(ratings(c)), value_domain=[0, 1], level_of_measurement="nominal")
    )


def gwet_ac1(c: Confusion) -> float:
    """AC1 from its definition (Gwet 2008, equations 3 to 5): chance agreement is that of a random rating.

    With q classes and pi_k the mean share of class k over both raters, pe = sum(pi_k (1 - pi_k)) / (q - 1).
    """
    human, metric = ratings(c)
    agreed = float(np.mean(human == metric))
    shares = [(float(np.mean(human == k)) + float(np.mean(metric == k))) / 2 for k in (0, 1)]
    chance = sum(share * (1 - share) for share in shares) / (len(shares) - 1)
    return (agreed - chance) / (1 - chance)


# tp, fn, fp, tn, and what irrCAC 0.4.4 returns: CAC(table, categories=[0, 1], digits=16).gwet(). The library is not a
# dependency: it requires an old coverage and, up to Python 3.12 only, an old scipy.
IRRCAC_AC1 = [
    ((40, 10, 5, 45), 0.7007481296758106),
    ((90, 0, 10, 0), 0.8895027624309393),
    ((85, 5, 5, 5), 0.8780487804878049),
    ((45, 5, 30, 20), 0.3411764705882354),
    ((93, 4, 2, 1), 0.9350086655112652),
    ((0, 3, 2, 0), -1.0),
    ((2, 0, 0, 0), 1.0),
    ((1, 1, 0, 0), 0.2),
    ((0, 0, 0, 7), 1.0),
    ((1, 2, 3, 4), 0.0825688073394496),
    ((7, 0, 1, 0), 0.8584070796460177),
    ((60, 1, 59, 2), 0.1977202981148602),
]


@pytest.mark.parametrize(("cells", "expected"), IRRCAC_AC1)
def test_ac1_and_its_reference_equal_irrcac(cells: tuple[int, int, int, int], expected: float) -> None:
    tp, fn, fp, tn = cells
    c = Confusion(tp=tp, fn=fn, tn=tn, fp=fp, items=sum(cells))
    assert c.ac1 == pytest.approx(expected, abs=1e-12)
    assert gwet_ac1(c) == pytest.approx(expected, abs=1e-12)


def sklearn_f1(c: Confusion) -> float:
    return float(metrics.f1_score(*ratings(c), labels=[0, 1], zero_division=np.nan))


def sklearn_recall(c: Confusion, label: int) -> float:
    return float(metrics.recall_score(*ratings(c), pos_label=label, zero_division=np.nan))


def sklearn_precision(c: Confusion, label: int) -> float:
    return float(metrics.precision_score(*ratings(c), pos_label=label, zero_division=np.nan))


def sklearn_balanced_accuracy(c: Confusion) -> float:
    # sklearn leaves a missing class out of the mean; here the mean of two classes is undefined then.
    return float(metrics.balanced_accuracy_score(*ratings(c))) if c.human_pass and c.human_fail else math.nan


def constant_baseline(c: Confusion) -> float:
    human = ratings(c)[0]
    return max(float(metrics.accuracy_score(human, np.full_like(human, label))) for label in (0, 1))


REFERENCES: dict[str, tuple[Callable[[Confusion], Estimate | float | Undefined], Callable[[Confusion], float]]] = {
    "alignment": (lambda c: c.alignment, lambda c: float(metrics.accuracy_score(*ratings(c)))),
    "baseline": (lambda c: c.baseline, constant_baseline),
    "bias": (lambda c: c.bias, lambda c: float(ratings(c)[1].mean() - ratings(c)[0].mean())),
    "tpr": (lambda c: c.tpr, lambda c: sklearn_recall(c, 1)),
    "tnr": (lambda c: c.tnr, lambda c: sklearn_recall(c, 0)),
    "ppv": (lambda c: c.ppv, lambda c: sklearn_precision(c, 1)),
    "npv": (lambda c: c.npv, lambda c: sklearn_precision(c, 0)),
    "f1": (lambda c: c.f1, sklearn_f1),
    "balanced_accuracy": (lambda c: c.balanced_accuracy, sklearn_balanced_accuracy),
    "kappa": (lambda c: c.kappa, sklearn_kappa),
    "mcc": (lambda c: c.mcc, scipy_pearson),
    "ac1": (lambda c: c.ac1, gwet_ac1),
    "alpha": (lambda c: c.alpha, krippendorff_alpha),
}


@pytest.mark.parametrize("name", REFERENCES)
@given(c=confusions())
def test_statistics_equal_the_reference_or_both_are_undefined(name: str, c: Confusion) -> None:
    ours, reference = REFERENCES[name]
    with warnings.catch_warnings():
        # The references warn where they divide by zero, and then return nan or raise.
        warnings.simplefilter("ignore")
        expected = reference(c)
    number = value(ours(c))
    if isinstance(number, Undefined):
        assert math.isnan(expected)
    else:
        assert number == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(confusions())
def test_mcc_is_what_sklearn_calls_matthews_where_it_is_defined(c: Confusion) -> None:
    if not isinstance(c.mcc, Undefined):
        assert c.mcc == pytest.approx(metrics.matthews_corrcoef(*ratings(c)), rel=1e-12, abs=1e-12)


@given(st.integers(0, 300), st.integers(1, 300), st.floats(0.01, 1))
def test_wilson_equals_statsmodels_also_for_fractional_n(k: int, n: int, share_of_n: float) -> None:
    assume(k <= n)
    n_eff = n * share_of_n
    expected = proportion_confint(k / n * n_eff, n_eff, method="wilson")
    assert wilson(k / n, n_eff) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(confusions())
def test_intervals_hold_their_share_and_use_distinct_items(c: Confusion) -> None:
    for rate, part in (
        (c.alignment, c.n),
        (c.tpr, c.human_pass),
        (c.tnr, c.human_fail),
        (c.ppv, c.metric_pass),
    ):
        if isinstance(rate, Undefined):
            continue
        assert 0 <= rate.low <= rate.value <= rate.high <= 1
        n_eff = c.items * part / c.n
        expected = proportion_confint(rate.value * n_eff, n_eff, method="wilson")
        assert rate[1:] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_several_annotators_on_one_item_do_not_narrow_the_interval() -> None:
    one_each = Confusion(tp=40, fn=10, tn=45, fp=5, items=100)
    eight_each = Confusion(tp=320, fn=80, tn=360, fp=40, items=100)
    assert eight_each.alignment == one_each.alignment
    assert eight_each.tpr == one_each.tpr


@pytest.mark.parametrize(
    ("c", "reasons"),
    [
        (
            Confusion(tp=0, fn=0, tn=0, fp=0, items=0),
            dict.fromkeys(REFERENCES, "no_comparisons"),
        ),
        (
            Confusion(tp=2, fn=1, tn=0, fp=0, items=3),
            {"tnr": "no_human_fail", "balanced_accuracy": "no_human_fail", "mcc": "no_human_fail"},
        ),
        (
            Confusion(tp=0, fn=0, tn=1, fp=2, items=3),
            {"tpr": "no_human_pass", "balanced_accuracy": "no_human_pass", "mcc": "no_human_pass"},
        ),
        (Confusion(tp=2, fn=0, tn=0, fp=1, items=3), {"npv": "no_metric_fail", "mcc": "no_metric_fail"}),
        (Confusion(tp=0, fn=1, tn=2, fp=0, items=3), {"ppv": "no_metric_pass", "mcc": "no_metric_pass"}),
        (
            Confusion(tp=0, fn=0, tn=3, fp=0, items=3),
            {
                "tpr": "no_human_pass",
                "ppv": "no_metric_pass",
                "balanced_accuracy": "no_human_pass",
                "mcc": "no_human_pass",
                "f1": "one_class",
                "kappa": "one_class",
                "alpha": "one_class",
            },
        ),
    ],
)
def test_an_undefined_statistic_has_a_reason(c: Confusion, reasons: dict[str, str]) -> None:
    undefined = {name: ours(c) for name, (ours, _) in REFERENCES.items() if isinstance(ours(c), Undefined)}
    assert undefined == reasons


@pytest.mark.parametrize("cells", [(-1, 1, 1, 1, 2), (1, 0, 0, 0, 2), (1, 1, 0, 0, 0), (0, 0, 0, 0, 1)])
def test_impossible_counts_are_refused(cells: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="Confusion"):
        Confusion(*cells)


def test_large_counts_stay_exact() -> None:
    # 2 ** 200 comparisons overflow a double's digits, not Python's whole numbers.
    many = 1 << 200
    c = Confusion(tp=many, fn=many, tn=many, fp=many, items=1)
    assert (c.kappa, c.mcc, c.ac1) == (0, 0, 0)
