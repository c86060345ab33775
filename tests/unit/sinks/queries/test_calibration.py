"""Scores of rows as probabilities, and their diagram on the page."""

from datetime import date
from pathlib import Path

import pytest

from aggregator.days import Window
from aggregator.facts import Annotation, Direction, Evaluation, Fact
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import wilson
from sinks.queries.calibration import ScoreCalibration, score_calibration
from sinks.queries.scope import Scope
from sinks.store.store import Store
from tests.support.html import read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected
from tests.unit.sinks.queries.test_deep_dive import stored


def rated(item: str, score: float | None, *ratings: bool, direction: Direction = "higher") -> list[Fact]:
    """An item with a score, rated by several people."""
    return [
        Evaluation(at=NOW_MS, id="e", item=item, metric="m", score=score, direction=direction, passed=True),
        *(
            Annotation(at=NOW_MS, id="a", queue="q", item=item, annotator=f"p{place}", thumbs="up" if up else "down")
            for place, up in enumerate(ratings)
        ),
    ]


def of(facts: list[Fact]) -> ScoreCalibration:
    scope = Scope("q", Window.ALL, date(2026, 11, 24), CountingRules())
    with stored(facts) as store, store.read() as connection:
        return score_calibration(connection, scope, "overall", "m")


def test_every_annotation_is_a_comparison_and_every_item_one_observation() -> None:
    answer = of([*rated("a", 0.2, True, False), *rated("b", 0.8, True, True), *rated("unscored", None, False)])
    assert answer["brier"] == pytest.approx((0.64 + 0.04 + 0.04 + 0.04) / 4)
    assert answer["calibration_error"] == pytest.approx((2 * 0.3 + 2 * 0.2) / 4)
    assert (answer["scored"], answer["items"]) == (4, 2)
    low, high = wilson(0.5, 1)
    assert answer["bins"][0] == {"comparisons": 2, "score": 0.2, "pass_rate": 0.5, "low": low, "high": high}


def test_where_lower_scores_pass_their_complement_is_the_probability() -> None:
    answer = of([*rated("a", 0.2, True, direction="lower"), *rated("b", 0.9, False, direction="lower")])
    assert answer["brier"] == pytest.approx((0.04 + 0.01) / 2)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ([*rated("a", 4.0, True), *rated("b", 0.5, True)], "not_a_probability"),
        ([*rated("a", 0.4, True), *rated("b", 0.5, True, direction="lower")], "mixed_directions"),
        (rated("a", None, True), "no_scores"),
    ],
)
def test_undefined_calibration_has_a_reason(facts: list[Fact], reason: str) -> None:
    answer = of(facts)
    assert (answer["brier"], answer["calibration_error"], answer["bins"]) == (None, None, [])
    assert answer["undefined"] == {"brier": reason, "calibration_error": reason}


async def test_the_diagram_has_a_dot_for_each_bin(store: Store, tmp_path: Path) -> None:
    fill(store, [fact for number in range(40) for fact in rated(f"i{number}", number / 40, number % 40 > 15)])
    async with connected(view_of(store, tmp_path)) as client:
        page = read((await client.get("/queues/q")).text)
    card = page.one(id="calibration")
    assert len(card.all("circle")) == len(card.one("tbody").all("tr")) == 10
    # The lowest score is at the left, and nobody passes it: at the bottom.
    first, last = card.all("circle")[0].attributes, card.all("circle")[-1].attributes
    assert (first["cx"], first["cy"], last["cy"]) == ("3.8", "100.0", "0.0")
