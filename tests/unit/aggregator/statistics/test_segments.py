"""Fisher's exact test against scipy, Holm's adjustment against statsmodels, and which segments are tested."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from statsmodels.stats.multitest import multipletests

from aggregator.statistics.confusion import Undefined
from aggregator.statistics.segments import FisherTest, ItemVotes, SegmentLean, SegmentTest, differences, fisher, holm

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


def votes(aligned: int, misaligned: int) -> ItemVotes:
    """Items that people pass."""
    return ItemVotes(aligned, misaligned, 0, 0)


def test_a_segment_needs_ten_items_and_so_does_the_rest() -> None:
    groups = {
        "few": (votes(9, 0), votes(50, 41)),
        "most": (votes(60, 31), votes(9, 0)),
        None: (votes(2, 8), votes(80, 10)),
    }
    answers = differences(groups)
    assert (answers["few"], answers["most"]) == (Undefined.FEW_ITEMS, Undefined.NO_REST)
    untested = answers[None]
    assert isinstance(untested, SegmentTest)
    # One test alone is not adjusted.
    assert (
        untested.alignment.p_value
        == untested.alignment.adjusted
        == pytest.approx(fisher_exact([[2, 8], [80, 10]]).pvalue)
    )
    assert untested.alignment.significant


def test_several_tests_are_adjusted_together() -> None:
    apart = votes(12, 8), votes(90, 20)
    alone = differences({"a": apart})["a"]
    among = differences({"a": apart, "b": (votes(15, 3), votes(87, 25)), "c": (votes(9, 0), votes(93, 28))})["a"]
    assert isinstance(alone, SegmentTest)
    assert isinstance(among, SegmentTest)
    assert (alone.alignment.significant, among.alignment.significant) == (True, False)
    assert among.alignment.adjusted == 2 * alone.alignment.p_value


items = st.builds(ItemVotes, *[st.integers(0, 30)] * 4)


@given(st.lists(st.tuples(items, items), min_size=1, max_size=5))
@example([(ItemVotes(20, 0, 10, 10), ItemVotes(50, 50, 50, 0))])
def test_directions_are_those_of_scipy_and_statsmodels(groups: list[tuple[ItemVotes, ItemVotes]]) -> None:
    answers = differences({str(number): both for number, both in enumerate(groups)})
    found, tables = [], []
    for number, both in enumerate(groups):
        answer = answers[str(number)]
        if not isinstance(answer, SegmentTest):
            assert min(map(sum, both)) < 10
            continue
        for test, wrong, right, missing in (
            (answer.passes, "fn", "tp", Undefined.NO_HUMAN_PASS),
            (answer.fails, "fp", "tn", Undefined.NO_HUMAN_FAIL),
        ):
            table = [[getattr(each, wrong), getattr(each, right)] for each in both]
            if not all(map(sum, table)):
                assert test is missing
                continue
            assert isinstance(test, FisherTest)
            found.append(test)
            tables.append(table)
    p_values = [float(fisher_exact(table).pvalue) for table in tables]
    assert [test.p_value for test in found] == pytest.approx(p_values, rel=1e-9, abs=1e-290)
    adjusted = list(multipletests(p_values, method="holm")[1]) if p_values else []
    assert [test.adjusted for test in found] == pytest.approx(adjusted, rel=1e-9, abs=1e-290)


@pytest.mark.parametrize(
    ("own", "rest", "lean"),
    [
        (ItemVotes(30, 0, 15, 15), ItemVotes(15, 15, 30, 0), SegmentLean.MORE_LENIENT),
        (ItemVotes(15, 15, 30, 0), ItemVotes(30, 0, 15, 15), SegmentLean.STRICTER),
        (ItemVotes(30, 0, 20, 20), ItemVotes(30, 0, 40, 0), SegmentLean.MORE_LENIENT),
        (ItemVotes(30, 0, 20, 20), ItemVotes(15, 15, 20, 20), SegmentLean.MORE_LENIENT),
        (ItemVotes(20, 20, 20, 20), ItemVotes(40, 0, 40, 0), SegmentLean.UNCLEAR),
        (ItemVotes(20, 20, 20, 20), ItemVotes(20, 20, 20, 20), SegmentLean.UNCLEAR),
        (ItemVotes(0, 0, 20, 20), ItemVotes(40, 0, 40, 0), SegmentLean.MORE_LENIENT),
    ],
    ids=["opposite errors", "the other way", "only of fails", "only of passes", "worse on both", "equal", "no passes"],
)
def test_a_direction_is_named_where_both_tests_allow_it(own: ItemVotes, rest: ItemVotes, lean: SegmentLean) -> None:
    answer = differences({"a": (own, rest)})["a"]
    assert isinstance(answer, SegmentTest)
    assert answer.lean is lean
    if own.aligned * sum(rest) == rest.aligned * sum(own):
        assert not answer.alignment.significant
