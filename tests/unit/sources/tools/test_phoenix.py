"""Arize Phoenix: who annotated, what, and with which label."""

from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation
from tests.support.sources import facts_of, skips_of, tool_source

RULES: dict[str, Any] = {
    "queue": "q",
    "criteria": {"polite": {"rating": {"up": ["polite"], "down": ["rude"]}}},
    "metrics": {"polite": {"pass": ["polite"], "fail": ["rude"], "threshold": 0.5}},
}


def _page(kind: str = "HUMAN", label: Any = "rude", score: Any = 1, **fields: Any) -> dict[str, Any]:
    annotation = {
        "id": "a-1", "name": "polite", "annotator_kind": kind, "updated_at": "2026-11-20T07:00:00+00:00",
        "result": {"label": label, "score": score, "explanation": None}, "identifier": "who", "span_id": "s-1",
    }  # fmt: skip
    return {"data": [annotation | fields], "next_cursor": None}


@pytest.mark.parametrize("kind", ["HUMAN", "LLM", "CODE"])
def test_a_label_decides_before_the_score(kind: str) -> None:
    (fact,) = facts_of(tool_source("phoenix", **RULES), _page(kind))
    assert fact.thumbs == "down" if isinstance(fact, Annotation) else isinstance(fact, Evaluation) and not fact.passed


def test_the_identifier_is_the_judge_or_the_annotator_without_user() -> None:
    source = tool_source("phoenix", **RULES)
    (judged,) = facts_of(source, _page("LLM", user_id="u-1"))
    (rated,) = facts_of(source, _page(id="a-2", user_id="u-1"))
    (anonymous,) = facts_of(source, _page(id="a-3", user_id=None))
    assert isinstance(judged, Evaluation) and judged.judge == "who"
    assert isinstance(rated, Annotation) and (rated.annotator, rated.id) == ("u-1", "phoenix:a-2@1795158000000")
    assert isinstance(anonymous, Annotation) and anonymous.annotator == "who"


@pytest.mark.parametrize(("target", "level"), [("span_id", "span"), ("trace_id", "trace"), ("session_id", "thread")])
def test_annotations_are_of_spans_traces_or_sessions(target: str, level: str) -> None:
    (fact,) = facts_of(tool_source("phoenix", **RULES), _page("LLM", **{"span_id": None, target: "t-1"}))
    assert (fact.item, fact.level) == ("t-1", level)


def test_notes_and_annotations_in_words_are_text() -> None:
    source = tool_source("phoenix", **RULES)
    assert skips_of(source, _page(name="note")) == {"text": 1}
    assert skips_of(source, _page(label=None, score=None)) == {"text": 1}
    assert skips_of(source, _page("LLM", result=None)) == {"no_rule": 1}
    assert skips_of(source, _page(label="meh")) == {"label_unmapped": 1}
