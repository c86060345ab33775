"""MLflow: assessments of traces, and the items of review queues.

Shapes: mlflow/mlflow `mlflow/protos/assessments.proto`, `mlflow/protos/review_queues.proto`, and the tests of its REST
store. A judgement that a person overrode has `valid` false; it still is what the judge said.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Raw, Struct

from aggregator.facts import Time
from sources.meaning import Judgement, Rules, judged_value
from sources.records import Result, Skip, SkipReason, SourceRecord
from sources.rules import Role
from sources.shapes import TextTime, read, read_each

_NOTES: Final = "mlflow.notes"
"""Name of the notes that people write about a trace in the web interface; their values are texts."""
_ROLES: Final[Mapping[str, Role]] = {"HUMAN": "human", "LLM_JUDGE": "judge", "AI_JUDGE": "judge", "CODE": "judge"}


class _MlflowError(Struct):
    error_code: str | None = None
    error_message: str | None = None


class _MlflowFeedback(Struct):
    value: Any = None
    error: _MlflowError | None = None


class _MlflowAuthor(Struct):
    source_type: str | None = None
    source_id: str | None = None


class _MlflowAssessment(Struct):
    assessment_id: str
    assessment_name: str
    last_update_time: TextTime
    source: _MlflowAuthor | None = None
    span_id: str | None = None
    feedback: _MlflowFeedback | None = None
    expectation: Any = None
    rationale: str | None = None


class _MlflowTrace(Struct):
    trace_id: str
    assessments: list[Raw] | None = None


class _MlflowQueueItem(Struct):
    queue_id: str
    item_id: str
    item_type: str
    creation_time_ms: Time
    status: str | None = None


class _MlflowTraces(Struct):
    traces: list[Raw]


class _MlflowQueueItems(Struct):
    items: list[Raw]


class _MlflowEmptyPage(Struct, forbid_unknown_fields=True):
    """The server leaves out empty lists."""

    next_page_token: str | None = None


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The assessments of the traces of an answer, or its queue items."""
    page = read(document, _MlflowTraces, _MlflowQueueItems, _MlflowEmptyPage)
    if isinstance(page, _MlflowTraces):
        for raw, trace in zip(page.traces, read_each(page.traces, _MlflowTrace), strict=True):
            if isinstance(trace, SourceRecord):
                yield trace
                continue
            for assessment in read_each(trace.assessments or (), _MlflowAssessment):
                if isinstance(assessment, SourceRecord):
                    yield assessment
                else:
                    result = _assessment(assessment, trace.trace_id, rules)
                    at = assessment.last_update_time.ms
                    yield SourceRecord(assessment.assessment_id, (result,), at, original=raw)
    elif isinstance(page, _MlflowQueueItems):
        for raw, item in zip(page.items, read_each(page.items, _MlflowQueueItem), strict=True):
            yield item if isinstance(item, SourceRecord) else _queue_item(item, raw, rules)


def _assessment(assessment: _MlflowAssessment, trace: str, rules: Rules) -> Result:
    if assessment.expectation is not None:
        return Skip(SkipReason.EXPECTATION, assessment.assessment_name)
    if assessment.assessment_name == _NOTES:
        return Skip(SkipReason.TEXT, _NOTES)
    feedback, source = assessment.feedback, assessment.source or _MlflowAuthor()
    if feedback is None:
        return Skip(SkipReason.NOT_AN_EVALUATION, f"{assessment.assessment_name!r} is no feedback")
    of_span = rules.settings.item == "span" and assessment.span_id
    error = feedback.error
    said = Judgement(
        name=assessment.assessment_name,
        item=assessment.span_id if of_span else trace,
        level="span" if of_span else "trace",
        value=judged_value(feedback.value),
        error=None if error is None else error.error_message or error.error_code or "",
        comment=assessment.rationale,
        author=source.source_id,
        judge=source.source_id,
    )
    return rules.judgement(said, source.source_type, _ROLES)


def _queue_item(item: _MlflowQueueItem, raw: Raw, rules: Rules) -> SourceRecord:
    """Completing an item is no event; declining it takes it out of the queue."""
    result: Result
    if item.status == "DECLINED":
        result = Skip(SkipReason.NOT_SUBMITTED, "declined")
    else:
        result = rules.queue_item(item.queue_id, item.item_id if item.item_type == "TRACE" else None)
    return SourceRecord(f"{item.queue_id}/{item.item_id}", (result,), item.creation_time_ms, original=raw)
