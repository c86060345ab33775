"""Fisher's exact test against scipy, Holm's adjustment against statsmodels, and which segments are tested."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from statsmodels.stats.multitest import multipletests

from aggregator.statistics.confusion import Undefined
from aggregator.statistics.segments import ItemVotes, SegmentTest, differences, fisher, holm

rows = st.tuples(st.integers(0, 40), st.integers(0, 40)) | st.tuples(st.integers(0, 2_000), st.integers(0, 2_000))


@given(rows, rows)
@example((0, 0), (0, 0))
@example((5, 5), (5, 5))
@example((0, 7), (0, 900))
@example((2, 31), (136, 15_532))
def test_fisher_is_the_exact_test(first: tuple[int, int], second: tuple[int, int]) -> None:
    assert fisher(first, second) == pytest.approx(float(fisher_exact([first, second]).pvalue), rel=1e-9, abs=1e-290)


def test_golden_p_values() -> None:
    assert fisher((8, 2), (1, 5)) == pytest.approx(0.034965034965034965, rel=1e-12)
    # Fisher's tea-tasting experiment.
    assert fisher((3, 1), (1, 3)) == pytest.approx(0.48571428571428571, rel=1e-12)


def test_large_counts_are_quick_and_exact() -> None:
    first, second = (45_000, 5_000), (44_600, 5_400)
    assert fisher(first, second) == pytest.approx(float(fisher_exact([first, second]).pvalue), rel=1e-8)
    assert fisher((1_000_000, 0), (0, 1_000_000)) == 0


@pytest.mark.parametrize("p_values", [[0.03], [0.01, 0.04, 0.03], [0.2, 0.2, 0.011, 0.9, 0.012, 1.0, 0.0]])
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]), rel=1e-12)


def test_a_segment_needs_ten_items_and_so_does_the_rest() -> None:
    votes = {
        "few": (ItemVotes(9, 0), ItemVotes(50, 41)),
        "most": (ItemVotes(60, 31), ItemVotes(9, 0)),
        None: (ItemVotes(2, 8), ItemVotes(80, 10)),
    }
    answers = differences(votes)
    assert (answers["few"], answers["most"]) == (Undefined.FEW_ITEMS, Undefined.NO_REST)
    untested = answers[None]
    assert isinstance(untested, SegmentTest)
    # One test alone is not adjusted.
    assert untested.p_value == untested.adjusted == pytest.approx(fisher_exact([[2, 8], [80, 10]]).pvalue)
    assert untested.significant


def test_several_tests_are_adjusted_together() -> None:
    apart = ItemVotes(12, 8), ItemVotes(90, 20)
    alone = differences({"a": apart})["a"]
    among = differences(
        {"a": apart, "b": (ItemVotes(15, 3), ItemVotes(87, 25)), "c": (ItemVotes(9, 0), ItemVotes(93, 28))}
    )["a"]
    assert isinstance(alone, SegmentTest)
    assert isinstance(among, SegmentTest)
    assert (alone.significant, among.significant) == (True, False)
    assert among.adjusted == 2 * alone.p_value
