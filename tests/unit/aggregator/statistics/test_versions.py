"""McNemar's exact test against scipy and statsmodels, and the order of judge versions."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as reference

from aggregator.days import DAY_MS, day_of
from aggregator.statistics.confusion import Confusion
from aggregator.statistics.versions import VersionCounts, epochs, in_order, mcnemar

counts = st.integers(0, 30) | st.integers(0, 3_000)


@given(counts, counts)
@example(0, 0)
@example(0, 1_200)
@example(2_500, 2_500)
def test_mcnemar_is_the_exact_binomial_test(first_only: int, second_only: int) -> None:
    p_value = mcnemar(first_only, second_only)
    table = [[7, first_only], [second_only, 9]]
    assert p_value == pytest.approx(float(reference(table, exact=True).pvalue), rel=1e-9, abs=1e-12)
    if first_only + second_only:
        expected = binomtest(first_only, first_only + second_only).pvalue
        assert p_value == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def test_large_counts_are_quick_and_exact() -> None:
    assert mcnemar(50_000, 50_000) == 1
    assert mcnemar(49_700, 50_300) == pytest.approx(float(binomtest(49_700, 100_000).pvalue), rel=1e-9)
    assert mcnemar(1_000_000, 10) == 0
    for first_only, second_only in (
        (500, 501),
        (501, 600),
        (501, 9_000),
        (4_997_000, 5_003_000),
        (4_990_000, 5_010_000),
    ):
        expected = float(binomtest(first_only, first_only + second_only).pvalue)
        assert mcnemar(first_only, second_only) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(1_000_000, 9_000_000) == 0


def version(judge: str, first_at: int) -> VersionCounts:
    first_day = day_of(first_at + DAY_MS)
    return VersionCounts(judge, first_at, first_day, Confusion(tp=1, fn=0, tn=0, fp=0, items=1), superseded=0)


def test_epochs_are_in_the_order_of_first_verdicts_on_the_days_of_first_comparisons() -> None:
    versions = [version("new", 3 * DAY_MS + 5), version("b", DAY_MS), version("a", DAY_MS)]
    assert [v.judge for v in in_order(versions)] == ["a", "b", "new"]
    assert [(e.day, e.before.judge, e.after.judge) for e in epochs(versions)] == [
        ("1970-01-03", "a", "b"),
        ("1970-01-05", "b", "new"),
    ]
    assert epochs(versions[:1]) == []
