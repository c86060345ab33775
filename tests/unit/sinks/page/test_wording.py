"""Every enum has its words, and every number its form."""

import pytest

from aggregator.recount import Recount
from aggregator.snapshot.schema import MetricDocument
from aggregator.statistics.confusion import Undefined
from aggregator.statistics.gate import Gate, GateLimits, Obstacle
from sinks.page.wording import gate_summary, judge_failures, kappa_word, lean, why
from tests.support.sample_view import FACTS


def metric(judge: dict[str, object] | None = None, **changes: object) -> MetricDocument:
    """A metric's document, changed; `judge` changes the fields of the newest judge version."""
    document = Recount(FACTS).document("support")["criteria"][0]["metrics"][0]
    document.update(changes)  # type: ignore[typeddict-item]
    assert document["newest_judge"] is not None
    document["newest_judge"].update(judge or {})  # type: ignore[typeddict-item]
    return document


@pytest.mark.parametrize("reason", Undefined)
def test_a_reason_is_a_sentence(reason: Undefined) -> None:
    assert why(reason) != reason.replace("_", " ").capitalize()
    assert " " in why(reason)


@pytest.mark.parametrize(
    ("errored", "skipped", "words"),
    [
        (0, 0, None),
        (1, 0, "No verdict on 1 annotated item: 1 error."),
        (0, 2, "No verdict on 2 annotated items: 2 skipped."),
        (1200, 1, "No verdict on 1,201 annotated items: 1,200 errors, 1 skipped."),
    ],
)
def test_failures_of_a_judge_are_counted_in_words(errored: int, skipped: int, words: str | None) -> None:
    assert judge_failures(metric(annotated_errored=errored, annotated_skipped=skipped)) == words


@pytest.mark.parametrize("obstacle", Obstacle)
def test_an_obstacle_is_worded_with_its_numbers(obstacle: Obstacle) -> None:
    changed = metric(
        {"gate_low": 0.123, "tnr": 0.456, "baseline": 0.789, "items_compared": 7},
        gate_state=Gate.NOT_TRUSTED,
        gate_reasons=[obstacle],
    )
    summary = gate_summary(changed, GateLimits())
    numbers = {
        Obstacle.FEW_ITEMS: ("30", "7"),
        Obstacle.LOW_BELOW_TRUSTED: ("12.3%", "80%"),
        Obstacle.LOW_BELOW_PROBATION: ("12.3%", "70%"),
        Obstacle.TNR_BELOW_TRUSTED: ("45.6%", "70%"),
        Obstacle.NOT_ABOVE_BASELINE: ("78.9%",),
    }
    assert all(number in summary.reasons for number in numbers.get(obstacle, ()))
    assert len(summary.reasons) > 20


@pytest.mark.parametrize(
    ("gate", "tone"),
    [
        (Gate.TRUSTED, "trusted"),
        (Gate.PROBATION, "probation"),
        (Gate.NOT_TRUSTED, "untrusted"),
        (Gate.UNDECIDED, "undecided"),
        (None, "undecided"),
    ],
)
def test_a_verdict_has_its_tone(gate: Gate | None, tone: str) -> None:
    assert gate_summary(metric(gate_state=gate, gate_reasons=[]), GateLimits()).tone == tone


def test_few_labels_are_counted_down() -> None:
    few = metric(gate_state=Gate.UNDECIDED, gate_reasons=[Obstacle.FEW_ITEMS], labels_needed=21, items_compared=9)
    assert gate_summary(few, GateLimits()).label == "Needs 21 more labels"


def test_a_summary_names_the_judge_version_where_there_are_several() -> None:
    judge = {"judge": "v2", "since": "2026-11-26T09:00:00.000Z", "alignment": 0.575, "comparisons": 40}
    several = metric(judge, judge_versions=2, gate_reasons=[])
    assert gate_summary(several, GateLimits()).reasons.endswith(
        ". Judge version \u2068v2\u2069, in use since 2026-11-26, agrees on 57.5% of 40 comparisons"
    )
    unlabelled = metric({"judge": "v2", "comparisons": 0, "alignment": None}, judge_versions=1)
    assert "no labels yet" in gate_summary(unlabelled, GateLimits()).reasons


@pytest.mark.parametrize(("fn", "fp", "side"), [(3, 0, ""), (6, 0, "fn"), (1, 12, "fp"), (40, 38, "")])
def test_a_side_is_named_only_when_a_test_names_it(fn: int, fp: int, side: str) -> None:
    assert lean(metric(fn=fn, fp=fp, misaligned=fn + fp, bias=(fp - fn) / 60)).side == side


@pytest.mark.parametrize(
    ("kappa", "word"),
    [(-0.01, "poor"), (0.0, "slight"), (0.2, "slight"), (0.21, "fair"), (0.4, "fair"), (0.6, "moderate"),
     (0.8, "substantial"), (0.81, "almost perfect"), (1.0, "almost perfect")],
)  # fmt: skip
def test_a_kappa_has_a_word(kappa: float, word: str) -> None:
    assert kappa_word(kappa) == word
