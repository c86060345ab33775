"""Agreement and strictness of a person, against numpy and statsmodels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from aggregator.statistics.annotators import SharedItems
from aggregator.statistics.confusion import Estimate, Undefined

ratings = st.lists(st.tuples(st.booleans(), st.lists(st.booleans(), min_size=1, max_size=4)), min_size=1, max_size=30)


def shared(rated: list[tuple[bool, list[bool]]]) -> SharedItems:
    """What a person and others said of each item."""
    theirs = [sum(others) / len(others) for _, others in rated]
    return SharedItems(
        items=len(rated),
        passes=sum(own for own, _ in rated),
        others=sum(theirs),
        others_squared=sum(rate * rate for rate in theirs),
        both=sum(rate for (own, _), rate in zip(rated, theirs, strict=True) if own),
        pairs=sum(len(others) for _, others in rated),
        agreed=sum(others.count(own) for own, others in rated),
    )


@given(ratings)
def test_strictness_is_the_difference_of_paired_rates(rated: list[tuple[bool, list[bool]]]) -> None:
    own = np.array([float(person) for person, _ in rated])
    theirs = np.array([np.mean(others) for _, others in rated])
    varied = own.std() > 1e-6 and theirs.std() > 1e-6
    correlation = np.corrcoef(own, theirs)[0, 1] if varied else 0.0
    low, high = proportion_confint(own.mean() * len(own), len(own), method="wilson")
    their_low, their_high = proportion_confint(theirs.mean() * len(own), len(own), method="wilson")

    def reach(one: float, other: float) -> float:
        return float(np.sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2)))

    difference = float(theirs.mean() - own.mean())
    expected = (
        difference,
        max(-1.0, difference - reach(theirs.mean() - their_low, high - own.mean())),
        min(1.0, difference + reach(their_high - theirs.mean(), own.mean() - low)),
    )
    assert shared(rated).strictness == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_golden_numbers() -> None:
    # Two people on 100 items: both pass 60, both fail 15, only the other one passes 20, only the person 5.
    pairs = [(True, True)] * 60 + [(False, False)] * 15 + [(False, True)] * 20 + [(True, False)] * 5
    person = shared([(own, [other]) for own, other in pairs])
    assert isinstance(person.strictness, Estimate)
    assert [round(number, 4) for number in person.strictness] == [0.15, 0.0556, 0.2422]
    assert isinstance(person.agreement, Estimate)
    assert [round(number, 4) for number in person.agreement] == [0.75, 0.657, 0.8245]


def test_agreement_counts_pairs_on_distinct_items() -> None:
    person = shared([(True, [True, False]), (False, [False])])
    assert isinstance(person.agreement, Estimate)
    assert person.agreement == pytest.approx((2 / 3, *proportion_confint(4 / 3, 2, method="wilson")))


def test_nobody_else_is_undefined() -> None:
    alone = SharedItems(0, 0, 0.0, 0.0, 0.0, 0, 0)
    for number in (alone.agreement, alone.pass_rate, alone.others_pass_rate, alone.strictness):
        assert number is Undefined.NO_PAIRS
