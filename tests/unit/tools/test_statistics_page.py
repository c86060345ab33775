"""docs/statistics.md explains every number, reason and state, with the values that documents have."""

from typing import get_args, get_type_hints

import pytest

from aggregator.days import Window
from aggregator.policy import Policy
from aggregator.snapshot.build import document
from aggregator.snapshot.inputs import (
    CountingRules,
    CriterionState,
    DocumentStamp,
    JudgeVectors,
    PairCounts,
    QueueState,
)
from aggregator.snapshot.schema import MetricDocument
from aggregator.statistics.confusion import Estimate, Undefined
from aggregator.statistics.gate import Gate, Obstacle
from aggregator.statistics.judge_in_use import JudgePeriod
from tests.laws.cases import CASES
from tests.support.pages import page
from tools.reference.statistics_numbers import EXAMPLE, NUMBERS, Number

COUNTED = {"evaluated", "pass_rate", "errored", "skipped", "waiting"}
"""Fields that may be null and are no statistics: counts over the items of the queue."""


def example() -> MetricDocument:
    """The document of the page's example: everything rated with thumbs."""
    vector = [0] * 14
    vector[:4] = EXAMPLE.tn, EXAMPLE.fp, EXAMPLE.fn, EXAMPLE.tp
    pair = PairCounts(EXAMPLE.items, {"": JudgeVectors(vector, [0] * 14, EXAMPLE.items)})
    criterion = CriterionState(EXAMPLE.n, EXAMPLE.n, EXAMPLE.items, {"m": pair})
    state = QueueState("q", EXAMPLE.items, EXAMPLE.items, {"c": criterion}, judges={"m": JudgePeriod("", 0, 0)})
    snapshot = document(state, Window.ALL, DocumentStamp("", 0, "", {}, Policy.EACH), CountingRules())
    return snapshot["criteria"][0]["metrics"][0]


def test_every_statistic_of_a_document_has_a_section() -> None:
    hints = get_type_hints(MetricDocument)
    optional = {name for name, hint in hints.items() if type(None) in get_args(hint)}
    bounds = {name for name in optional if name.endswith(("_low", "_high"))}
    assert {number.field for number in NUMBERS} | {
        "gate_state",
        "newest_judge",
        "labels_needed_for",
    } == optional - bounds - COUNTED
    assert all(f"`{number.field}`\n" in page("statistics.md") for number in NUMBERS)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.field)
def test_the_value_of_the_example_is_that_of_a_document(number: Number) -> None:
    value = number.of(EXAMPLE)
    if isinstance(value, Undefined):
        assert example()["undefined"][number.field] is value
        return
    expected = value.value if isinstance(value, Estimate) else value
    assert example()[number.field] == expected  # type: ignore[literal-required]


def test_every_reason_and_state_is_explained() -> None:
    text = page("statistics.md")
    assert [name for name in (*Undefined, *Obstacle, *Gate) if f"| `{name}` |" not in text] == []


def test_every_case_of_the_laws_is_in_the_section_what_counts() -> None:
    _, _, text = page("statistics.md").partition("\n## What counts\n")
    assert [case.title for cases in CASES.values() for case in cases if f"| {case.title} |" not in text] == []
