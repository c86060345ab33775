"""Thresholds and scales that one judge version, or one metric, must not mix."""

import pytest

from aggregator.statistics.scales import ScoredVerdict, check_scales


def check(*verdicts: tuple[str, float | None, float]) -> tuple[dict[str, list[float]], bool]:
    found = check_scales(ScoredVerdict(*verdict) for verdict in verdicts)
    return {judge: list(values) for judge, values in found.thresholds.items()}, found.two_scales


def test_thresholds_are_listed_by_judge_version() -> None:
    verdicts = [("v2", 0.8, 0.5), ("v1", 0.7, 0.5), ("v2", 0.6, 0.1), ("v2", 0.8, 0.2), ("v3", None, 0.5)]
    assert check(*verdicts) == ({"v1": [0.7], "v2": [0.6, 0.8], "v3": []}, False)


@pytest.mark.parametrize(
    ("thresholds", "two"),
    [((0.7, 70), True), ((0.5, 3), True), ((0.05, 0.5), False), ((0.9, 1.1), False), ((3, 60), False), ((0, 5), False)],
)
def test_thresholds_far_apart_are_of_two_scales_in_any_version(thresholds: tuple[float, float], two: bool) -> None:
    for judges in (("v1", "v1"), ("v1", "v2")):
        assert check(*((judge, t, t) for judge, t in zip(judges, thresholds, strict=True)))[1] is two


@pytest.mark.parametrize(
    ("threshold", "scores", "two"),
    [
        (0.7, (0.9, 0.3, 30), True),
        (70, (0.9, 85), True),
        (None, (0.9, 85), True),
        # Of one scale: percentages with 0 and 1 among them, seconds, stars.
        (70, (0, 1, 15, 90), False),
        (2.5, (0.4, 30), False),
        (0.7, (0.4, 2.5, 30), False),
        (3, (1, 2, 5), False),
    ],
)
def test_scores_are_of_two_scales_where_nothing_is_between(
    threshold: float | None, scores: tuple[float, ...], two: bool
) -> None:
    assert check(*(("v1", threshold, score) for score in scores))[1] is two


def test_scores_of_different_versions_may_differ_in_scale() -> None:
    assert check(("v1", None, 0.4), ("v2", None, 40))[1] is False
