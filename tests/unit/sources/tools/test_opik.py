"""Opik: the value of each author, never the mean."""

from typing import Any

from aggregator.facts import Annotation, Evaluation
from tests.support.sources import facts_of, outcomes, skips_of, tool_source

RULES: dict[str, Any] = {
    "queue": "q",
    "criteria": {"tone": {"rating": {"pass_at": 0.5}}, "end": {"rating": {"up": ["Good"], "down": ["Bad"]}}},
    "metrics": {"tone": {"threshold": 0.5}},
}


def _entry(value: float | None, source: str = "ui", **fields: Any) -> dict[str, Any]:
    return {"value": value, "source": source, "last_updated_at": "2026-11-20T07:00:00Z", **fields}


def _page(authors: dict[str, Any] | None, name: str = "tone", **fields: Any) -> dict[str, Any]:
    score = {"name": name, "value": 0.99, "source": "ui", "last_updated_at": "2026-11-21T07:00:00Z"}
    return {"content": [{"id": "t-1", "feedback_scores": [score | {"value_by_author": authors}]} | fields]}


def test_the_mean_is_not_read() -> None:
    facts = facts_of(tool_source("opik", **RULES), _page({"ada": _entry(0.1), "bot": _entry(0.2, "online_scoring")}))
    assert [type(fact) for fact in facts] == [Annotation, Evaluation]
    assert isinstance(facts[0], Annotation) and facts[0].thumbs == "down"
    assert isinstance(facts[1], Evaluation) and facts[1].score == 0.2
    assert skips_of(tool_source("opik", **RULES), _page(None)) == {"aggregate": 1}
    assert skips_of(tool_source("opik", **RULES), _page({})) == {"aggregate": 1}


def test_the_sdk_is_used_by_people_and_judges() -> None:
    page = _page({"ci": _entry(0.9, "sdk", evaluator_revision="r-2")})
    assert skips_of(tool_source("opik", **RULES), page) == {"role_unknown": 1}
    (fact,) = facts_of(tool_source("opik", **RULES, roles={"sdk": "judge"}), page)
    assert isinstance(fact, Evaluation) and (fact.passed, fact.judge) == (True, "r-2")


def test_the_queue_is_that_of_the_entry() -> None:
    page = _page({"ada": _entry(1, source_queue_id="n-1"), "ben": _entry(1)})
    facts = facts_of(tool_source("opik", **RULES, queues={"n-1": "first"}), page)
    assert [fact.queue for fact in facts if isinstance(fact, Annotation)] == ["first", "q"]


def test_a_category_is_a_label() -> None:
    (fact,) = facts_of(tool_source("opik", **RULES), _page({"ada": _entry(1, category_name="Bad")}, "end"))
    assert isinstance(fact, Annotation) and fact.thumbs == "down"


def test_the_levels_of_traces_spans_and_threads() -> None:
    authors = {"ada": _entry(1)}
    pages = _page(authors), _page(authors, trace_id="t-0"), _page(authors, thread_model_id="m-1")
    assert [facts_of(tool_source("opik", **RULES), page)[0].level for page in pages] == ["trace", "span", "thread"]


def test_a_natural_key_that_is_too_long_becomes_a_digest() -> None:
    (fact,) = facts_of(tool_source("opik", **RULES), _page({"a" * 250: _entry(1)}))
    assert len(fact.id) < 256 and fact.id.startswith("opik:") and fact.id.endswith("@1795158000000")
    (other,) = facts_of(tool_source("opik", **RULES), _page({"a" * 251: _entry(1)}))
    assert other.id != fact.id


def test_one_malformed_entry_leaves_the_others() -> None:
    page = _page({"ada": _entry(1) | {"last_updated_at": "soon"}, "ben": _entry(1)})
    assert len(outcomes(tool_source("opik", **RULES), page)) == 2
    assert len(facts_of(tool_source("opik", **RULES), page)) == 1
