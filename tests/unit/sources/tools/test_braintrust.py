"""Braintrust: people from review spans only, and versions that grow while the time stays."""

from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation
from sources.records import UnknownShapeError
from tests.support.sources import facts_of, skips_of, tool_source

RULES: dict[str, Any] = {
    "queue": "q",
    "criteria": {"tone": {"rating": {"pass_at": 0.5}}},
    "metrics": {"fact": {"threshold": 0.5}},
}
CREATED = 1795158000000


def _page(scores: Any, kind: str = "task", version: str = "1000196384512884736", **fields: Any) -> dict[str, Any]:
    span = {
        "id": "row-1", "_xact_id": version, "created": "2026-11-20T07:00:00Z", "span_id": "s-1", "root_span_id": "root",
        "span_parents": ["parent"], "span_attributes": {"type": kind}, "scores": scores, **fields,
    }  # fmt: skip
    return {"events": [span], "cursor": None}


def test_people_are_read_from_review_spans_only() -> None:
    source = tool_source("braintrust", **RULES)
    (fact,) = facts_of(source, _page({"tone": 1}, "review"))
    assert isinstance(fact, Annotation) and (fact.item, fact.annotator) == ("root", "s-1")
    assert skips_of(tool_source("braintrust", **RULES), _page({"tone": 0.5})) == {"aggregate": 1}


def test_a_name_in_no_rule_may_be_a_mean_of_people() -> None:
    assert skips_of(tool_source("braintrust", **RULES), _page({"other": 0.5})) == {"role_unknown": 1}


def test_score_spans_repeat_and_null_is_nothing() -> None:
    source = tool_source("braintrust", **RULES)
    assert skips_of(source, _page({"fact": 0.9}, "score")) == {"repeated": 1}
    assert skips_of(source, _page({"fact": None})) == skips_of(source, _page(None)) == {}


def test_the_item_may_be_the_judged_span() -> None:
    source = tool_source("braintrust", **RULES, item="span")
    (judged,) = facts_of(source, _page({"fact": 1}))
    (rated,) = facts_of(source, _page({"tone": 1}, "review", id="row-2"))
    assert [(fact.item, fact.level) for fact in (judged, rated)] == [("s-1", "span"), ("parent", "span")]


def test_a_newer_version_counts_although_the_time_stays() -> None:
    source = tool_source("braintrust", **RULES)
    (first,) = facts_of(source, _page({"fact": 0.9}))
    (second,) = facts_of(source, _page({"fact": 0.1}, version="1000196384512884737"))
    assert isinstance(second, Evaluation) and not second.passed
    assert (first.at, second.at) == (CREATED, CREATED + 1)
    assert second.id == "braintrust:row-1/fact@1000196384512884737"
    assert skips_of(source, _page({"fact": 0.9})) == {"older": 1}
    (gone,) = facts_of(source, _page({"fact": None}, version="1000196384512884738"))
    assert gone.deleted


@pytest.mark.parametrize("version", ["", "-1", "1.5", "9" * 20])
def test_a_version_is_a_number(version: str) -> None:
    with pytest.raises(UnknownShapeError, match="_xact_id"):
        facts_of(tool_source("braintrust", **RULES), _page({"fact": 1}, version=version))
