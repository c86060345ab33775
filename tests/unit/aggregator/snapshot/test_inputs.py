"""The pass convention and the pairs of criteria and metrics: settings that apply when counts are read."""

import pytest

from aggregator.ratings import LEVELS
from aggregator.snapshot.inputs import CountingRules

# One, two, four ... comparisons, so that every sum identifies its levels.
POWERS = [1 << index for index in range(2 * len(LEVELS))]
BY_LEVEL: dict[str, tuple[int, int]] = {
    level: (POWERS[2 * index], POWERS[2 * index + 1]) for index, level in enumerate(LEVELS)
}


@pytest.mark.parametrize("criterion", ["overall", "tone"])
@pytest.mark.parametrize(
    ("pass_stars", "passing"),
    [(1, ["up", "1", "2", "3", "4", "5"]), (3, ["up", "3", "4", "5"]), (5, ["up", "5"])],
)
def test_pass_stars_decide_what_people_passed(criterion: str, pass_stars: int, passing: list[str]) -> None:
    failing = [level for level in LEVELS if level not in passing]
    rules = CountingRules(pass_stars=pass_stars)
    if criterion == "tone":
        rules = CountingRules(pass_stars=2, pass_stars_by_criterion={"tone": pass_stars})
        assert (rules.pass_limit("tone"), rules.pass_limit("overall")) == (pass_stars, 2)
    tp, fn, tn, fp = rules.outcomes(criterion, POWERS)
    assert (fn, tp) == tuple(sum(BY_LEVEL[level][verdict] for level in passing) for verdict in (0, 1))
    assert (tn, fp) == tuple(sum(BY_LEVEL[level][verdict] for level in failing) for verdict in (0, 1))


def test_criterion_metrics_limit_the_criteria_they_name() -> None:
    rules = CountingRules(criterion_metrics={"tone": ["politeness"], "ignored": []})
    topics = [
        ("tone", "politeness"),
        ("tone", "relevance"),
        ("ignored", "relevance"),
        ("overall", "relevance"),
    ]
    assert [rules.on_topic(*pair) for pair in topics] == [True, False, False, True]
