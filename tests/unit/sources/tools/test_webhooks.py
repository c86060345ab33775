"""Label Studio and Argilla: deliveries that come late, twice, in another order, or without a payload."""

from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation
from sources.records import UnknownShapeError
from tests.support.sources import RECEIVED, facts_of, skips_of, tool_source

PROJECT = {"id": 7}
TASK = {"id": 5, "data": {"trace": {"id": 12}}, "project": 7}


def rating(stars: float) -> dict[str, Any]:
    return {"type": "rating", "from_name": "tone", "value": {"rating": stars}}


def annotation(*answers: Any, second: int = 0, **fields: Any) -> dict[str, Any]:
    updated = f"2026-11-23T10:00:{second:02d}.000000Z"
    return {
        "id": 1,
        "task": 5,
        "project": 7,
        "updated_at": updated,
        "result": list(answers),
        "completed_by": 3,
        **fields,
    }


def created(*answers: Any, **fields: Any) -> dict[str, Any]:
    return {
        "action": "ANNOTATION_CREATED",
        "annotation": annotation(*answers, **fields),
        "task": TASK,
        "project": PROJECT,
    }


DELETED = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 1}], "project": PROJECT}


def labelstudio(**config: Any) -> Any:
    return tool_source(
        **{"tool": "labelstudio", "queue": "q", "item": "trace.id", "criteria": {"tone": {"rating": "stars"}}, **config}
    )


def test_an_update_that_arrives_before_its_creation_stands() -> None:
    source = labelstudio()
    facts_of(source, created(rating(2), second=9))
    assert skips_of(source, created(rating(4))) == {"older": 1}


def test_an_edit_that_arrives_after_the_deletion_does_not_revive_the_annotation() -> None:
    source = labelstudio()
    facts_of(source, created(rating(2)))
    [gone] = facts_of(source, DELETED)
    assert gone == Annotation(
        RECEIVED, f"labelstudio:1/tone@{RECEIVED}~deleted", "q", "12", criterion="tone", annotator="3", deleted=True
    )
    assert skips_of(source, created(rating(4), second=30)) == {"older": 1}
    assert skips_of(source, DELETED) == {"not_owned": 1}


def test_a_deletion_that_arrives_first_wins() -> None:
    source = labelstudio()
    assert skips_of(source, DELETED) == {"not_owned": 1}
    assert skips_of(source, created(rating(4))) == {"older": 1}


def test_a_cancelled_annotation_takes_its_rating_back_until_it_is_submitted_again() -> None:
    source = labelstudio()
    facts_of(source, created(rating(4)))
    cancelled = created(rating(4), second=1, was_cancelled=True)
    assert [fact.deleted for fact in facts_of(source, cancelled)] == [True]
    [fact] = facts_of(source, created(rating(4), second=2))
    assert isinstance(fact, Annotation) and fact.stars == 4


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"action": "ANNOTATION_CREATED"}, "trigger"),
        ({"action": "TASKS_CREATED", "tasks": [{"id": 5}]}, "not_an_evaluation"),
        ({"action": "PROJECT_UPDATED", "project": PROJECT}, "not_an_evaluation"),
        (created({"type": "rectanglelabels", "from_name": "box", "value": {"x": 1}}), "not_an_evaluation"),
        (created({"type": "textarea", "from_name": "why", "value": {"text": "short"}}), "text"),
        (created({"type": "choices", "from_name": "tone", "value": {"choices": []}}), "off_scale"),
        ({**created(rating(4)), "task": {**TASK, "data": {}}}, "no_item"),
    ],
)
def test_what_is_no_rating_is_skipped(body: dict[str, Any], reason: str) -> None:
    assert skips_of(labelstudio(), body) == {reason: 1}


def test_a_webhook_with_an_annotation_that_cannot_be_read_is_no_trigger() -> None:
    body = created(rating(4))
    with pytest.raises(UnknownShapeError, match=r"annotation\.id"):
        skips_of(labelstudio(), {**body, "annotation": {**body["annotation"], "id": "x"}})


def test_predictions_are_evaluations_only_where_the_settings_want_them() -> None:
    answer = {"type": "choices", "from_name": "tone", "value": {"choices": ["Good"]}}
    prediction = {"id": 4, "model_version": "v1", "result": [answer], "created_at": "2026-11-23T10:00:00Z"}
    export = [{**TASK, "annotations": [], "predictions": [prediction]}]
    rules = {"metrics": {"tone": {"pass": ["Good"], "fail": ["Bad"]}}}
    assert facts_of(labelstudio(**rules), export) == []
    [fact] = facts_of(labelstudio(**rules, predictions=True), export)
    assert isinstance(fact, Evaluation) and (fact.passed, fact.judge) == (True, "v1")


def test_predictions_of_an_export_that_are_only_ids_cost_no_annotation() -> None:
    export = [{**TASK, "annotations": [annotation(rating(4))], "predictions": [8, 9]}]
    [fact] = facts_of(labelstudio(), export)
    assert isinstance(fact, Annotation) and fact.stars == 4
    assert skips_of(labelstudio(predictions=True), export) == {"not_an_evaluation": 2}


def test_one_odd_annotation_of_many_leaves_the_others() -> None:
    """Label Studio sends thousands together, and never again."""
    body = {
        "action": "ANNOTATIONS_CREATED",
        "annotation": [annotation(rating(4)), {"id": "odd"}, annotation(rating(5), id=2, completed_by={"id": 9})],
        "task": [TASK],
    }
    assert [fact.id.partition("@")[0] for fact in facts_of(labelstudio(), body)] == [
        "labelstudio:1/tone",
        "labelstudio:2/tone",
    ]


def response(kind: str, second: int, status: str = "submitted", **values: Any) -> dict[str, Any]:
    questions = [
        {"name": "tone", "settings": {"type": "rating"}},
        {"name": "why", "settings": {"type": "text"}},
        {"name": "order", "settings": {"type": "ranking"}},
        {"name": "topics", "settings": {"type": "multi_label_selection"}},
    ]
    record = {"id": "r", "external_id": "t", "metadata": {}, "dataset": {"name": "d", "questions": questions}}
    answers = {name: {"value": value} for name, value in values.items()}
    data = {"id": "x", "status": status, "record": record, "user": {"id": "ada"}, "values": answers}
    return {"type": kind, "version": 1, "timestamp": f"2026-11-23T10:00:{second:02d}Z", "data": data}


def argilla() -> Any:
    return tool_source("argilla", queue="q", criteria={"tone": {"rating": "stars"}})


def test_a_response_is_compared_by_the_time_of_its_envelope() -> None:
    source = argilla()
    [said] = facts_of(source, response("response.created", 1, tone=4))
    assert isinstance(said, Annotation) and (said.item, said.annotator, said.stars) == ("t", "ada", 4)
    deletion = {**response("response.deleted", 3), "data": {"id": "x"}}
    [gone] = facts_of(source, deletion)
    assert gone.id == "argilla:x/tone@1795428003000~deleted"
    assert skips_of(source, response("response.updated", 2, tone=5)) == {"older": 1}
    assert len(facts_of(source, response("response.created", 4, tone=5))) == 1


def test_answers_that_are_no_rating_are_skipped() -> None:
    body = response("response.created", 1, why="fine", order=[{"value": "a", "rank": 1}], topics=["x"], tone=9)
    assert skips_of(argilla(), body) == {"text": 1, "pairwise": 1, "not_an_evaluation": 1, "off_scale": 1}
    assert skips_of(argilla(), response("record.updated", 1)) == {"not_an_evaluation": 1}


@pytest.mark.parametrize(("project", "skipped"), [("8", {"not_an_evaluation": 1}), ("7", {}), (None, {})])
def test_an_annotation_of_another_project_than_the_one_that_is_pulled_is_skipped(
    project: str | None, skipped: dict[str, int]
) -> None:
    assert skips_of(labelstudio(project=project), created(rating(4))) == skipped
