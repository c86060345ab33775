"""LangSmith: labels before scores, corrections on request, and what is no judgement of one run."""

from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation
from tests.support.sources import facts_of, skips_of, tool_source

RULES: dict[str, Any] = {
    "queue": "q",
    "criteria": {"tone": {"rating": "thumbs"}, "ending": {"rating": {"up": ["good"], "down": ["bad"]}}},
    "metrics": {"tone": {"threshold": 0.5}, "safe": {"pass": ["safe"], "fail": ["unsafe"], "threshold": 0.5}},
}


def _feedback(**fields: Any) -> dict[str, Any]:
    return {
        "id": "f-9", "key": "tone", "modified_at": "2026-11-20T07:00:00.5+00:00", "run_id": "run-1",
        "trace_id": "run-1", "score": 1, "feedback_source": {"type": "app", "user_id": "eve"}, **fields,
    }  # fmt: skip


def _judged(**fields: Any) -> dict[str, Any]:
    return _feedback(feedback_source={"type": "model"}, **fields)


def test_a_label_decides_before_the_score() -> None:
    (rated,) = facts_of(tool_source("langsmith", **RULES), [_feedback(key="ending", score=1, value="bad")])
    (judged,) = facts_of(tool_source("langsmith", **RULES), [_judged(key="safe", score=0.9, value="unsafe")])
    assert isinstance(rated, Annotation) and rated.thumbs == "down"
    assert isinstance(judged, Evaluation) and not judged.passed


def test_a_label_without_a_rule_leaves_the_score() -> None:
    (judged,) = facts_of(tool_source("langsmith", **RULES), [_judged(key="safe", score=0.9, value="quite safe")])
    assert isinstance(judged, Evaluation) and judged.passed


@pytest.mark.parametrize(
    ("correction", "thumbs"), [({"score": 1}, "up"), ({"score": False}, "down"), ({"value": "true"}, "up")]
)
def test_a_correction_is_the_human_side_on_request(correction: Any, thumbs: str) -> None:
    feedback = _judged(score=0.1, comment="dull", correction=correction)
    assert len(facts_of(tool_source("langsmith", **RULES), [feedback])) == 1
    verdict, human = facts_of(tool_source("langsmith", **RULES, corrections=True), [feedback])
    assert isinstance(verdict, Evaluation) and not verdict.passed
    assert isinstance(human, Annotation) and (human.thumbs, human.annotator, human.explanation) == (thumbs, "", None)
    assert human.id == "langsmith:f-9/correction@1795158000500"


def test_a_correction_of_a_person_or_in_words_is_no_rating() -> None:
    source = tool_source("langsmith", **RULES, corrections=True)
    assert len(facts_of(source, [_feedback(correction={"score": 0})])) == 1
    assert skips_of(source, [_judged(correction="It is kind.")]) == {"text": 1}


def test_the_api_is_used_by_people_and_judges_so_the_name_decides() -> None:
    by_program = _feedback(key="tone", feedback_source={"type": "api"})
    assert skips_of(tool_source("langsmith", **RULES), [by_program]) == {"role_unknown": 1}
    (judged,) = facts_of(tool_source("langsmith", **RULES, roles={"api": "judge"}), [by_program])
    assert isinstance(judged, Evaluation)


def test_a_failed_evaluator_is_an_error_and_no_note() -> None:
    (failed,) = facts_of(
        tool_source("langsmith", **RULES), [_judged(score=None, comment="Timeout()", extra={"error": True})]
    )
    assert isinstance(failed, Evaluation) and (failed.status, failed.reason) == ("error", "Timeout()")


def test_what_is_no_judgement_of_one_run_is_skipped() -> None:
    source = tool_source("langsmith", **RULES)
    pairwise = _feedback(comparative_experiment_id="c-1")
    assert skips_of(source, [pairwise]) == {"pairwise": 1}
    assert skips_of(source, [_feedback(score=None, comment="Look.")]) == {"text": 1}
    assert skips_of(source, [_feedback(run_id=None, trace_id=None)]) == {"no_item": 1}
    assert skips_of(source, {"rule_id": "r-1", "runs": [{"feedback_stats": {"tone": {"avg": 1}}}]}) == {"trigger": 1}


def test_a_run_within_a_trace_is_a_span() -> None:
    source = tool_source("langsmith", **RULES)
    (of_span,) = facts_of(source, [_feedback(run_id="run-2")])
    (of_trace,) = facts_of(source, [_feedback(id="f-10", trace_id=None)])
    assert (of_span.item, of_span.level, of_trace.level) == ("run-2", "span", "trace")
