"""The human ceiling against plain pairs, scikit-learn and the krippendorff package."""

import itertools
import math
import warnings
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

from aggregator.ratings import LEVELS, human_passes
from aggregator.statistics.ceiling import Panel, alpha_binary, alpha_ordinal, ordered_pairs
from aggregator.statistics.confusion import Estimate, Undefined

levels = st.integers(0, len(LEVELS) - 1)
# Ratings of each item, one per annotator.
items = st.lists(st.lists(levels, min_size=1, max_size=5), max_size=8)
pass_stars = st.integers(1, 5)
Items = list[list[int]]


def panels(rated: Items) -> list[Panel]:
    return [Panel([ratings.count(level) for level in range(len(LEVELS))], 1) for ratings in rated]


def reference(rows: list[list[float]], level: Any) -> float:
    """Krippendorff's alpha of units by rows; nan where it cannot be computed."""
    width = max((len(row) for row in rows), default=0)
    raters = np.array([row + [np.nan] * (width - len(row)) for row in rows]).T
    if not any(len(row) > 1 for row in rows):
        return math.nan
    with warnings.catch_warnings():
        # The package divides by zero when all values are equal, and refuses fewer than two different values.
        warnings.simplefilter("ignore")
        try:
            return float(krippendorff.alpha(reliability_data=raters, level_of_measurement=level))
        except ValueError as error:
            assert "more than one value" in str(error)  # noqa: PT017 -- any other error is a failure
            return math.nan


def same(ours: float | Undefined, expected: float) -> bool:
    if isinstance(ours, Undefined):
        return math.isnan(expected)
    return ours == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(items, pass_stars)
def test_agreement_and_kappa_are_those_of_the_pairs(rated: Items, stars: int) -> None:
    results = [[human_passes(level, stars) for level in ratings] for ratings in rated]
    ordered = [pair for results_of_item in results for pair in itertools.permutations(results_of_item, 2)]
    once = [pair for results_of_item in results for pair in itertools.combinations(results_of_item, 2)]
    table = ordered_pairs(panels(rated), stars)
    assert (table.n, table.items) == (len(ordered), sum(len(results_of_item) > 1 for results_of_item in results))
    if not once:
        assert table.kappa is Undefined.NO_COMPARISONS
        return
    agreed = sum(one == other for one, other in once)
    assert isinstance(table.alignment, Estimate)
    assert table.alignment.value == pytest.approx(agreed / len(once), rel=1e-12)
    # One independent observation per item, with any number of pairs.
    expected = proportion_confint(agreed / len(once) * table.items, table.items, method="wilson")
    assert table.alignment[1:] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kappa = metrics.cohen_kappa_score(*zip(*ordered, strict=True), labels=[False, True])
    assert same(table.kappa, kappa)


@given(items, pass_stars)
def test_alpha_of_pass_and_fail_is_krippendorffs(rated: Items, stars: int) -> None:
    rows = [[float(human_passes(level, stars)) for level in ratings] for ratings in rated]
    assert same(alpha_binary(panels(rated), stars), reference(rows, "nominal"))


@given(items)
@example([[2, 6], [3, 3, 4], [5, 6], [0, 1, 2]])
def test_alpha_of_stars_is_krippendorffs_and_thumbs_are_missing(rated: Items) -> None:
    rows = [[float(level - 1) for level in ratings if level >= 2] for ratings in rated]
    assert same(alpha_ordinal(panels(rated)), reference(rows, "ordinal"))


@given(items, pass_stars)
def test_equal_items_may_be_passed_together(rated: Items, stars: int) -> None:
    twice = [Panel(panel.levels, 2) for panel in panels(rated)]
    assert ordered_pairs(twice, stars) == ordered_pairs(panels(rated * 2), stars)
    assert alpha_binary(twice, stars) == alpha_binary(panels(rated * 2), stars)
    assert alpha_ordinal(twice) == alpha_ordinal(panels(rated * 2))


def test_an_undefined_ceiling_has_a_reason() -> None:
    alone, alike = panels([[2], [1]]), panels([[6, 6], [6, 6]])
    assert (alpha_binary(alone, 3), alpha_ordinal(alone)) == (Undefined.NO_PAIRS, Undefined.NO_PAIRS)
    assert (alpha_binary(alike, 3), alpha_ordinal(alike)) == (Undefined.ONE_CLASS, Undefined.ONE_CLASS)
    assert alpha_ordinal(panels([[0, 1]])) is Undefined.NO_PAIRS
    assert alpha_binary([], 3) is Undefined.NO_PAIRS
