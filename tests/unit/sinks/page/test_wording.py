"""Every enum has its words, and every number its form."""

import pytest

from aggregator.recount import Recount
from aggregator.snapshot.schema import MetricDocument
from aggregator.statistics.confusion import Undefined
from aggregator.statistics.gate import Gate, GateLimits, Obstacle
from sinks.page.wording import gate_summary, why
from tests.support.sample_view import FACTS


def metric(**changes: object) -> MetricDocument:
    """A metric's document, changed."""
    document = Recount(FACTS).document("support")["criteria"][0]["metrics"][0]
    document.update(changes)  # type: ignore[typeddict-item]
    return document


@pytest.mark.parametrize("reason", Undefined)
def test_a_reason_is_a_sentence(reason: Undefined) -> None:
    assert why(reason) != reason.replace("_", " ").capitalize()
    assert " " in why(reason)


@pytest.mark.parametrize("obstacle", Obstacle)
def test_an_obstacle_is_worded_with_its_numbers(obstacle: Obstacle) -> None:
    changed = metric(
        gate_state=Gate.NOT_TRUSTED,
        gate_reasons=[obstacle],
        alignment_low=0.123,
        tnr=0.456,
        baseline=0.789,
        items_compared=7,
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
