"""What people, judges and a reader do with MLflow, by its own client. Prints JSON.

python mlflow_client.py create
python mlflow_client.py edit|delete|read EXPERIMENT
"""

import json
import sys
from typing import Any

import mlflow
from mlflow.entities import AssessmentSource, Feedback
from mlflow.genai.label_schemas import InputPassFail
from mlflow.tracking._tracking_service.utils import _get_store

TRACES = 30
JUDGE = AssessmentSource(source_type="LLM_JUDGE", source_id="openai:/gpt-4.1")
CODE = AssessmentSource(source_type="CODE", source_id="overlap")
ADA, BEN = (AssessmentSource(source_type="HUMAN", source_id=name) for name in ("ada", "ben"))


def create() -> str:
    """Traces with verdicts and labels, and a review queue; returns the experiment."""
    experiment = mlflow.set_experiment("answers").experiment_id
    traces = []
    for number in range(TRACES):
        with mlflow.start_span(name="answer") as span:
            span.set_inputs({"question": number})
            span.set_outputs("Within 14 days.")
        traces.append(span.trace_id)
    mlflow.flush_trace_async_logging()
    for number, trace in enumerate(traces):
        mlflow.log_feedback(trace_id=trace, name="correctness", value="no" if number % 4 == 0 else "yes", source=JUDGE)
        mlflow.log_feedback(trace_id=trace, name="relevance", value=number / TRACES, source=CODE)
        mlflow.log_feedback(trace_id=trace, name="is_correct", value=number % 5 != 0, source=ADA)
        if number % 3 == 0:
            mlflow.log_feedback(trace_id=trace, name="quality", value=1 + number % 5, source=BEN, rationale="short")
        if number % 10 == 0:
            mlflow.log_expectation(trace_id=trace, name="expected", value="Within 14 days.", source=ADA)
            mlflow.log_feedback(trace_id=trace, name="mlflow.notes", value="Ask billing.", source=ADA)
            mlflow.log_feedback(trace_id=trace, name="no_rule", value="perhaps", source=BEN)
    mlflow.log_feedback(trace_id=traces[1], name="correctness", error=ValueError("429 from the judge"), source=JUDGE)
    store = _get_store()
    labels = InputPassFail(positive_label="Correct", negative_label="Wrong")
    schema = store.create_label_schema(experiment, name="is_correct", type="feedback", input=labels)
    queue = store.create_review_queue(
        experiment, name="Support", queue_type="custom", created_by="ada", users=["ada"], schema_ids=[schema.schema_id]
    )
    store.add_items_to_review_queue(queue.queue_id, item_ids=traces[:10])
    store.set_review_queue_item_status(queue.queue_id, item_id=traces[0], status="complete", completed_by="ada")
    store.set_review_queue_item_status(queue.queue_id, item_id=traces[1], status="declined", completed_by="ada")
    return str(experiment)


def edit(experiment: str) -> None:
    """Change labels, and override verdicts as a person."""
    for number, trace in enumerate(_traces(experiment)):
        found = {each.name: each for each in trace.info.assessments}
        if number % 2:
            changed = Feedback(name="is_correct", value=not found["is_correct"].value, source=ADA)
            mlflow.update_assessment(trace.info.trace_id, found["is_correct"].assessment_id, changed)
        if number % 6 == 0:
            # The web interface keeps the name of the judge's feedback.
            mlflow.override_feedback(
                trace_id=trace.info.trace_id,
                assessment_id=found["correctness"].assessment_id,
                value="no" if found["correctness"].value == "yes" else "yes",
                source=ADA,
            )


def delete(experiment: str) -> None:
    """Delete labels, verdicts, and whole traces."""
    traces = _traces(experiment)
    for number, trace in enumerate(traces):
        for each in trace.info.assessments:
            if (number % 7 == 0 and each.name == "is_correct") or (number % 9 == 0 and each.name == "relevance"):
                mlflow.delete_assessment(trace_id=trace.info.trace_id, assessment_id=each.assessment_id)
    gone = [trace.info.trace_id for trace in traces[-3:]]
    mlflow.MlflowClient().delete_traces(experiment, trace_ids=gone)


def read(experiment: str) -> dict[str, list[list[Any]]]:
    """Who accepts what, the oldest first, by the rules of `tools/real/mlflow.py` written out."""
    annotations: list[list[Any]] = []
    verdicts: list[list[Any]] = []
    for trace in _traces(experiment):
        item = trace.info.trace_id
        for each in sorted(trace.info.assessments, key=lambda each: each.last_update_time_ms):
            if each.expectation is not None or each.feedback is None:
                continue
            name, value, by = each.name, each.feedback.value, each.source
            if by.source_type == "HUMAN" and name == "is_correct":
                annotations.append([item, name, by.source_id, value])
            elif by.source_type == "HUMAN" and name == "quality":
                annotations.append([item, name, by.source_id, value >= 3])
            elif name == "correctness" and by.source_type == "LLM_JUDGE" and each.feedback.error is None:
                verdicts.append([item, name, value == "yes"])
            elif name == "relevance":
                verdicts.append([item, name, value >= 0.7])
    return {"annotations": annotations, "verdicts": verdicts}


def _traces(experiment: str) -> list[Any]:
    """All traces, the oldest first."""
    found = mlflow.search_traces(locations=[experiment], max_results=500, return_type="list", include_spans=False)
    return sorted(found, key=lambda trace: (trace.info.request_time, trace.info.trace_id))


if __name__ == "__main__":
    steps: dict[str, Any] = {"create": create, "edit": edit, "delete": delete, "read": read}
    sys.stdout.write(json.dumps(steps[sys.argv[1]](*sys.argv[2:])))
