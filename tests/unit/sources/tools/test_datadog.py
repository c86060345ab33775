"""Datadog: metrics and feedback of the SDK, and label values in both forms."""

from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation
from tests.support.sources import facts_of, skips_of, tool_source

RULES: dict[str, Any] = {
    "queue": "q",
    "criteria": {"tone": {"rating": {"up": ["kind"], "down": ["rude"]}}, "stars": {"rating": "stars"}},
    "metrics": {"pii": {"pass": ["false"], "fail": ["true"]}, "rank": {"threshold": 3}},
}
SPAN = {"join_on": {"span": {"span_id": "22", "trace_id": "11"}}}


def _body(label: str, **fields: Any) -> dict[str, Any]:
    metric = {"label": label, "timestamp_ms": 1795158000000, "metric_type": "score", "tags": [], **fields}
    return {"data": {"type": "evaluation_metric", "attributes": {"metrics": [metric]}}}


def _answer(values: Any, kind: str = "trace") -> dict[str, Any]:
    annotation = {"id": "a-1", "modified_at": "2026-11-20T07:00:00Z", "created_by": "eve", "label_values": values}
    interaction = {"type": kind, "content_id": "11", "annotations": [annotation]}
    return {"data": {"id": "queue-1", "attributes": {"annotated_interactions": [interaction]}}}


@pytest.mark.parametrize(("value", "passed"), [(True, False), (False, True)])
def test_a_boolean_has_the_meaning_of_its_rule(value: bool, passed: bool) -> None:
    (fact,) = facts_of(tool_source("datadog", **RULES), _body("pii", boolean_value=value, **SPAN))
    assert isinstance(fact, Evaluation) and (fact.passed, fact.score) == (passed, None)


def test_the_assessment_decides_before_the_rule() -> None:
    (fact,) = facts_of(tool_source("datadog", **RULES), _body("rank", score_value=5, assessment="fail", **SPAN))
    assert isinstance(fact, Evaluation) and not fact.passed
    assert skips_of(tool_source("datadog", **RULES), _body("x", score_value=5, assessment="none", **SPAN)) == {
        "no_rule": 1
    }


def test_the_item_is_the_trace_the_span_or_the_tag() -> None:
    on_span = _body("rank", score_value=5, **SPAN)
    on_tag = _body("rank", score_value=5, join_on={"tag": {"key": "msg", "value": "m-1"}})
    (trace,) = facts_of(tool_source("datadog", **RULES), on_span)
    (span,) = facts_of(tool_source("datadog", **RULES, item="span"), on_span)
    (tag,) = facts_of(tool_source("datadog", **RULES, item_tag="msg"), on_tag)
    assert [(fact.item, fact.level) for fact in (trace, span, tag)] == [
        ("11", "trace"),
        ("22", "span"),
        ("m-1", "trace"),
    ]
    assert skips_of(tool_source("datadog", **RULES, item_tag="other"), on_tag) == {"no_item": 1}


@pytest.mark.parametrize(
    ("target", "level"),
    [("trace_id", "trace"), ("span_id", "span"), ("session_id", "thread"), ("feedback_join_key", "trace")],
)
def test_feedback_of_newer_versions_is_of_a_person(target: str, level: str) -> None:
    feedback = {"event_kind": "feedback", "submitter": {"id": "ben"}, target: "f-1"}
    (fact,) = facts_of(tool_source("datadog", **RULES), _body("tone", categorical_value="rude", **feedback))
    assert isinstance(fact, Annotation) and (fact.thumbs, fact.annotator) == ("down", "ben")
    assert (fact.item, fact.level, fact.id) == ("f-1", level, "datadog:f-1/tone/ben@1795158000000")
    assert skips_of(tool_source("datadog", **RULES), _body("tone", text_value="Hm.", **feedback)) == {"text": 1}


@pytest.mark.parametrize("values", [{"stars": 4}, [{"name_when_saved": "stars", "value": 4.0}]])
def test_label_values_have_two_forms(values: Any) -> None:
    (fact,) = facts_of(tool_source("datadog", **RULES), _answer(values))
    assert isinstance(fact, Annotation) and (fact.stars, fact.annotator) == (4, "eve")
    assert fact.id == "datadog:a-1/stars@1795158000000"


def test_a_choice_of_several_labels_has_no_meaning_of_its_own() -> None:
    (fact,) = facts_of(tool_source("datadog", **RULES), _answer({"tone": ["kind"]}))
    assert isinstance(fact, Annotation) and fact.thumbs == "up"
    assert skips_of(tool_source("datadog", **RULES), _answer({"tone": ["kind", "rude"]})) == {"label_unmapped": 1}


def test_the_queue_is_that_of_the_answer() -> None:
    (fact,) = facts_of(tool_source("datadog", **RULES, queues={"queue-1": "first"}), _answer({"stars": 1}))
    assert isinstance(fact, Annotation) and fact.queue == "first"


def test_interactions_that_are_no_item_and_texts_are_skipped() -> None:
    source = tool_source("datadog", **RULES)
    assert facts_of(source, _answer({"stars": 1}, "session"))[0].level == "thread"
    assert skips_of(tool_source("datadog", **RULES), _answer({"stars": 1}, "display_block")) == {"no_item": 1}
    assert skips_of(source, _answer([{"name_when_saved": "stars", "type": "text", "value": "5"}])) == {"text": 1}
