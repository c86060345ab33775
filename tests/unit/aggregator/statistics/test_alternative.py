"""The alternative annotator test against scipy, and against the procedure of its paper on plain ratings."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from aggregator.statistics.alternative import Alternative, LeftOut, alternative, rejections, student_t
from aggregator.statistics.confusion import Undefined

Ratings = Mapping[str, Mapping[str, bool]]
"""Ratings by person and item."""


def paper(ratings: Ratings, verdicts: Mapping[str, bool], epsilon: float) -> tuple[float, float]:
    """Winning rate and average advantage probability, as the paper defines them, by numpy and scipy."""
    p_values, advantages = [], []
    for person, own in ratings.items():
        judge_wins, person_wins = [], []
        for item, rating in own.items():
            others = [of_other[item] for other, of_other in ratings.items() if other != person and item in of_other]
            if others and item in verdicts:
                of_person = np.mean([rating == other for other in others])
                of_judge = np.mean([verdicts[item] == other for other in others])
                judge_wins.append(float(of_judge >= of_person))
                person_wins.append(float(of_person >= of_judge))
        difference = np.array(person_wins) - np.array(judge_wins)
        p_values.append(float(stats.ttest_1samp(difference, epsilon, alternative="less").pvalue))
        advantages.append(float(np.mean(judge_wins)))
    # Without a rejection the adjusted values are all above the level.
    adjusted = stats.false_discovery_control(p_values, method="by")
    return float(np.mean(adjusted <= 0.05)), float(np.mean(advantages))


def left_out(ratings: Ratings, verdicts: Mapping[str, bool]) -> list[LeftOut]:
    """The counts of every person."""
    counted = []
    for person, own in ratings.items():
        differences = []
        for item, rating in own.items():
            others = [of_other[item] for other, of_other in ratings.items() if other != person and item in of_other]
            if others and item in verdicts:
                with_person, with_judge = others.count(rating), others.count(verdicts[item])
                differences.append((with_person > with_judge) - (with_person < with_judge))
        counted.append(LeftOut(len(differences), differences.count(1), differences.count(-1)))
    return counted


@given(st.floats(-50, 50), st.integers(1, 3_000))
@example(0.0, 29)
@example(-38.0, 2)
def test_student_t_is_that_of_scipy(t: float, freedom: int) -> None:
    assert student_t(t, freedom) == pytest.approx(float(stats.t.cdf(t, freedom)), rel=1e-9, abs=1e-280)


@given(st.lists(st.floats(0, 1) | st.floats(0, 0.02), min_size=1, max_size=8))
def test_rejections_are_those_of_benjamini_and_yekutieli(p_values: Sequence[float]) -> None:
    expected = int(np.sum(stats.false_discovery_control(p_values, method="by") <= 0.05))
    limits = [rank * 0.05 / len(p_values) for rank in range(1, len(p_values) + 1)]
    if all(abs(value / limit - 1) > 1e-9 for value in p_values for limit in limits):
        assert rejections(p_values) == expected


@given(st.integers(30, 400), st.data(), st.floats(0, 0.5))
def test_p_value_is_that_of_the_t_test(items: int, data: st.DataObject, epsilon: float) -> None:
    person = data.draw(st.integers(0, items))
    judge = data.draw(st.integers(0, items - person))
    difference = np.array([1.0] * person + [-1.0] * judge + [0.0] * (items - person - judge))
    found = LeftOut(items, person, judge).p_value(epsilon)
    if difference.std() == 0:
        assert found == float(difference[0] >= epsilon)
    else:
        expected = stats.ttest_1samp(difference, epsilon, alternative="less").pvalue
        assert found == pytest.approx(float(expected), rel=1e-8, abs=1e-280)


@pytest.mark.parametrize("quality", [0.6, 0.8, 0.95])
def test_a_simulated_panel_is_judged_as_the_paper_does(quality: float) -> None:
    luck = np.random.default_rng(7)
    truth = luck.random(120) < 0.6
    people = {
        name: {f"i{item}": bool(truth[item] ^ (luck.random() > skill)) for item in range(120) if luck.random() < 0.7}
        for name, skill in (("ann", 0.9), ("bob", 0.85), ("cleo", 0.8), ("dan", 0.7))
    }
    verdicts = {f"i{item}": bool(truth[item] ^ (luck.random() > quality)) for item in range(115)}
    result = alternative(left_out(people, verdicts), 0.2)
    assert isinstance(result, Alternative)
    assert (result.winning_rate, result.advantage) == pytest.approx(paper(people, verdicts, 0.2))


def test_three_people_with_thirty_items_are_needed() -> None:
    enough, few = LeftOut(30, 3, 5), LeftOut(29, 0, 20)
    assert alternative([enough, enough, few], 0.2) is Undefined.FEW_ANNOTATORS
    result = alternative([enough, enough, enough, few], 0.2)
    assert isinstance(result, Alternative)
    assert result[:2] == (3, 3)
    assert result.advantage == pytest.approx(0.9)
    # Against people who are always better the judge never wins.
    assert alternative([LeftOut(40, 40, 0)] * 3, 0.2) == Alternative(3, 0, 0.0)
