"""Weave: annotations, scorers with objects, and reactions."""

from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation
from tests.support.sources import facts_of, skips_of, tool_source

RULES: dict[str, Any] = {
    "queue": "q",
    "criteria": {"reaction": {"rating": {"up": ["👍"], "down": ["👎"]}}, "tone": {"rating": "stars"}},
    "metrics": {"deep": {"value": "a.b", "reason": "a.why", "threshold": 0.5}, "flat": {"pass": ["true"]}},
}


def _answer(kind: str, payload: Any, ref: str = "weave:///e/p/call/c-1", **fields: Any) -> dict[str, Any]:
    feedback = {
        "id": "f-1", "weave_ref": ref, "feedback_type": f"wandb.{kind}", "payload": payload, "wb_user_id": "eve",
        "created_at": "2026-11-20T07:00:00.999999Z", **fields,
    }  # fmt: skip
    return {"result": [feedback]}


@pytest.mark.parametrize(("score", "passed"), [(0.7, True), (0.2, False), (True, None), (None, None)])
def test_a_rule_names_the_path_in_the_output_of_a_scorer(score: Any, passed: bool | None) -> None:
    answer = _answer(
        "runnable.deep", {"output": {"a": {"b": score, "why": "so"}}}, runnable_ref="weave:///e/p/op/deep:v3"
    )
    facts = facts_of(tool_source("weave", **RULES), answer)
    assert [(fact.passed, fact.reason, fact.judge) for fact in facts if isinstance(fact, Evaluation)] == (
        [] if passed is None else [(passed, "so", "v3")]
    )


def test_an_object_without_a_path_needs_a_rule() -> None:
    assert skips_of(tool_source("weave", **RULES), _answer("runnable.flat", {"output": {"x": 1}})) == {"no_rule": 1}
    assert skips_of(tool_source("weave", **RULES), _answer("runnable.new", {"output": {"x": 1}})) == {"no_rule": 1}


def test_a_reaction_counts_without_its_skin_tone() -> None:
    toned = {"emoji": "👎🏽", "detoned": "👎"}
    (fact,) = facts_of(tool_source("weave", **RULES), _answer("reaction.1", toned))
    assert isinstance(fact, Annotation) and (fact.criterion, fact.thumbs, fact.annotator) == ("reaction", "down", "eve")
    (plain,) = facts_of(tool_source("weave", **RULES), _answer("reaction.1", {"emoji": "👍"}))
    assert isinstance(plain, Annotation) and plain.thumbs == "up"


@pytest.mark.parametrize("name", ["a.b", "tone"])
def test_a_name_is_all_that_follows_the_type(name: str) -> None:
    source = tool_source("weave", queue="q", criteria={name: {"rating": "stars"}})
    (fact,) = facts_of(source, _answer(f"annotation.{name}", {"value": 3}))
    assert isinstance(fact, Annotation) and fact.criterion == name
    assert fact.id == "weave:f-1@1795158000999"


def test_the_item_is_the_call_and_the_settings_name_its_level() -> None:
    source = tool_source("weave", **RULES, level="span")
    (fact,) = facts_of(source, _answer("annotation.tone", {"value": 3}, "weave:///e/p/call/c-2/attr/output"))
    assert (fact.item, fact.level) == ("c-2", "span")
    on_object = _answer("annotation.tone", {"value": 3}, "weave:///e/p/object/o-1:v1")
    assert skips_of(tool_source("weave", **RULES), on_object) == {"no_item": 1}


def test_notes_and_other_types_are_skipped() -> None:
    source = tool_source("weave", **RULES)
    assert skips_of(source, _answer("note.1", {"note": "Hm."})) == {"text": 1}
    assert skips_of(source, _answer("costs.1", {})) == {"not_an_evaluation": 1}
