"""DeepEval: verdicts of cases, traces and spans, and which side of a threshold passes."""

from typing import Any

import pytest

from aggregator.facts import Evaluation
from tests.support.sources import facts_of, skips_of, tool_source


def _metric(name: str, score: float | None, passed: bool | None, **fields: Any) -> dict[str, Any]:
    return {"name": name, "score": score, "threshold": 0.5, "success": passed, "evaluationModel": "m"} | fields


def _file(*cases: dict[str, Any], conversations: Any = ()) -> dict[str, Any]:
    return {"testCases": list(cases), "conversationalTestCases": list(conversations)}


def _case(item: str, *metrics: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "c", "metadata": {"id": item}, "metricsData": list(metrics), **fields}


def _evaluations(*cases: dict[str, Any]) -> list[Evaluation]:
    facts = facts_of(tool_source("deepeval", item="metadata.id"), _file(*cases))
    return [fact for fact in facts if isinstance(fact, Evaluation)]


@pytest.mark.parametrize(
    ("metrics", "direction"),
    [
        ([_metric("Bias", 0.2, True), _metric("Bias", 0.5, True)], "lower"),
        ([_metric("Bias", 0.2, False), _metric("Bias", 0.5, True)], "higher"),
        ([_metric("Bias", 0.2, True), _metric("Bias", 0.3, False)], "higher"),
        ([_metric("Bias", 0.5, True), _metric("Bias", 0.5, True, threshold=None)], "higher"),
        ([_metric("Bias", None, False, error="no answer"), _metric("Bias", 0.7, None)], "higher"),
    ],
    ids=["a low score passes", "a low score fails", "verdicts contradict", "at the threshold", "no verdict"],
)
def test_verdicts_show_which_side_passes_not_names(metrics: list[dict[str, Any]], direction: str) -> None:
    found = _evaluations(*(_case(f"i{number}", metric) for number, metric in enumerate(metrics)))
    assert {evaluation.direction for evaluation in found} == {direction}


def test_a_trace_repeats_its_case_and_spans_have_metrics_of_their_own() -> None:
    span = {"uuid": "s-1", "endTime": "2026-11-20T07:00:00.250Z", "metricsData": [_metric("Tone", 0.2, True)]}
    trace = {
        "uuid": "t-1",
        "endTime": "2026-11-20T07:00:01Z",
        "llmSpans": [span],
        "metricsData": [_metric("Bias", 0.9, True), _metric("Speed", 0.9, True)],
    }
    file = _file(_case("i", _metric("Bias", 0.9, True), trace=trace))
    facts = facts_of(tool_source("deepeval"), file)
    assert [(fact.item, fact.metric, fact.direction) for fact in facts if isinstance(fact, Evaluation)] == [
        ("t-1", "Bias", "higher"),
        ("s-1", "Tone", "lower"),
        ("t-1", "Speed", "higher"),
    ]
    assert skips_of(tool_source("deepeval"), file) == {"repeated": 1}


def test_a_metric_without_threshold_needs_a_rule() -> None:
    file = _file(_case("i", _metric("Bias", 0.2, None, threshold=None)))
    assert skips_of(tool_source("deepeval", item="metadata.id"), file) == {"no_rule": 1}
    rules: dict[str, Any] = {"Bias": {"threshold": 0.5, "metric": "bias"}}
    (fact,) = facts_of(tool_source("deepeval", item="metadata.id", metrics=rules), file)
    assert isinstance(fact, Evaluation) and (fact.metric, fact.passed) == ("bias", False)


def test_a_case_without_the_item_and_a_judge_that_failed() -> None:
    failed = _metric("Bias", None, False, error="RuntimeError: no answer")
    assert skips_of(tool_source("deepeval", item="metadata.other"), _file(_case("i", failed))) == {"no_item": 1}
    conversation = {"name": "c", "metadata": {"thread": "th"}, "metricsData": [failed]}
    (fact,) = facts_of(tool_source("deepeval", thread="metadata.thread"), _file(conversations=[conversation]))
    assert isinstance(fact, Evaluation)
    assert (fact.item, fact.level, fact.status) == ("th", "thread", "error")
    assert fact.reason == "RuntimeError: no answer"
