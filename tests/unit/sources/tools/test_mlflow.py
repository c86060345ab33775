"""MLflow: judgements that a person overrode still count, and declined queue items do not."""

from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, QueueItem
from tests.support.sources import RECEIVED, facts_of, outcomes, skips_of, tool_source

RULES: dict[str, Any] = {
    "queue": "q",
    "criteria": {"ok": {"rating": {"up": ["true", "4"], "down": ["false"]}}},
    "metrics": {"ok": {"pass": ["yes", "true"], "fail": ["no"]}},
}
CREATED = 1795158000000


def _traces(kind: str = "LLM_JUDGE", value: Any = "no", **fields: Any) -> dict[str, Any]:
    assessment = {
        "assessment_id": "a-1", "assessment_name": "ok", "last_update_time": "2026-11-20T07:00:00Z",
        "source": {"source_type": kind, "source_id": "who"}, "feedback": {"value": value}, **fields,
    }  # fmt: skip
    return {"traces": [{"trace_id": "tr-1", "assessments": [assessment]}]}


def _items(status: str, **fields: Any) -> dict[str, Any]:
    item = {"queue_id": "rq-1", "item_id": "tr-1", "item_type": "TRACE", "status": status, "creation_time_ms": CREATED}
    return {"items": [item | {"last_update_time_ms": CREATED + 9} | fields]}


def test_an_overridden_judgement_is_still_what_the_judge_said() -> None:
    (fact,) = facts_of(tool_source("mlflow", **RULES), _traces(valid=False, overrides="a-0"))
    assert isinstance(fact, Evaluation) and not fact.passed and fact.judge == "who"


@pytest.mark.parametrize(("value", "thumbs"), [(True, "up"), (False, "down"), (4.0, "up"), ("false", "down")])
def test_the_labels_of_booleans_and_numbers(value: Any, thumbs: str) -> None:
    (fact,) = facts_of(tool_source("mlflow", **RULES), _traces("HUMAN", value))
    assert isinstance(fact, Annotation) and (fact.thumbs, fact.annotator) == (thumbs, "who")


def test_a_failed_judge_is_an_error_whatever_value_it_has() -> None:
    error = {"error_code": "TIMEOUT", "error_message": None}
    (fact,) = facts_of(tool_source("mlflow", **RULES), _traces(feedback={"value": "yes", "error": error}))
    assert isinstance(fact, Evaluation) and (fact.status, fact.reason) == ("error", "TIMEOUT")


def test_what_is_no_judgement_is_skipped() -> None:
    source = tool_source("mlflow", **RULES)
    assert skips_of(source, _traces(feedback=None, expectation={"value": "x"})) == {"expectation": 1}
    assert skips_of(source, _traces(feedback=None, issue={"issue_name": "x"})) == {"not_an_evaluation": 1}
    assert skips_of(source, _traces(value={"a": 1})) == {"no_rule": 1}
    assert skips_of(source, _traces("HUMAN", "Ask billing", assessment_name="mlflow.notes")) == {"text": 1}


def test_the_item_is_the_trace_unless_the_settings_name_the_span() -> None:
    on_span = _traces(span_id="s-1")
    (trace,) = facts_of(tool_source("mlflow", **RULES), on_span)
    (span,) = facts_of(tool_source("mlflow", **RULES, item="span"), on_span)
    assert [(fact.item, fact.level) for fact in (trace, span)] == [("tr-1", "trace"), ("s-1", "span")]


@pytest.mark.parametrize(
    "page", [{}, {"next_page_token": ""}, {"traces": []}, {"items": []}, {"traces": [{"trace_id": "t"}]}]
)
def test_a_page_without_assessments_is_empty(page: Any) -> None:
    assert outcomes(tool_source("mlflow", **RULES), page) == []


def test_completing_an_item_is_no_event_and_declining_takes_it_out() -> None:
    source = tool_source("mlflow", queues={"rq-1": "q"})
    (added,) = facts_of(source, _items("PENDING"))
    assert isinstance(added, QueueItem) and (added.queue, added.at) == ("q", CREATED)
    assert facts_of(source, _items("COMPLETE")) == []
    (gone,) = facts_of(source, _items("DECLINED"))
    assert (gone.deleted, gone.at) == (True, RECEIVED)
    assert skips_of(source, _items("DECLINED")) == {"not_submitted": 1}
    (again,) = facts_of(source, _items("PENDING"), RECEIVED + 5)
    assert (again.deleted, again.at) == (False, RECEIVED + 5)


def test_an_item_of_another_type_is_no_trace() -> None:
    assert skips_of(tool_source("mlflow", queue="q"), _items("PENDING", item_type="REVIEW_ITEM_TYPE_UNSPECIFIED")) == {
        "no_item": 1
    }
