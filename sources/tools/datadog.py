"""Datadog: evaluations and feedback that the SDK sends, and the annotated interactions of annotation queues.

Shapes: DataDog/dd-trace-py `ddtrace/llmobs/{_writer,_llmobs}.py`, and DataDog/datadog-api-client-python
`src/datadog_api_client/v2/model/llm_obs_annotat*.py` (preview API: label values are a list or an object).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from msgspec import Raw, Struct

from aggregator.facts import Level, Time
from sources.meaning import Judgement, Rules, judged_value
from sources.records import Result, Skip, SkipReason, SourceRecord
from sources.shapes import TextTime, read, read_each

_Attributes = TypeVar("_Attributes")
_VERDICTS: Final[Mapping[Any, bool]] = {"pass": True, "fail": False}
_LEVELS: Final[Mapping[str, Level]] = {"trace": "trace", "span": "span", "session": "thread"}
"""Kinds of interactions that are an item; a `display_block` is not."""


class _DatadogSpan(Struct):
    span_id: str
    trace_id: str


class _DatadogTag(Struct):
    key: str
    value: str


class _DatadogJoin(Struct):
    span: _DatadogSpan | None = None
    tag: _DatadogTag | None = None


class _DatadogSubmitter(Struct):
    id: str | None = None


class _DatadogMetric(Struct):
    label: str
    timestamp_ms: Time
    event_kind: str = "evaluation"
    join_on: _DatadogJoin | None = None
    span_id: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    feedback_join_key: str | None = None
    submitter: _DatadogSubmitter | None = None
    score_value: float | None = None
    boolean_value: bool | None = None
    categorical_value: str | None = None
    text_value: Any = None
    assessment: Any = None
    reasoning: str | None = None


class _DatadogLabel(Struct):
    value: Any = None
    type: str | None = None
    name_when_saved: str | None = None
    label_schema_id: str | None = None
    assessment: Any = None
    reasoning: str | None = None


class _DatadogAnnotation(Struct):
    id: str
    modified_at: TextTime
    created_by: str | None = None
    label_values: list[_DatadogLabel] | dict[str, Any] | None = None

    @property
    def labels(self) -> list[_DatadogLabel]:
        """The labels of both forms."""
        if isinstance(self.label_values, dict):
            return [_DatadogLabel(value, name_when_saved=name) for name, value in self.label_values.items()]
        return self.label_values or []


class _DatadogInteraction(Struct):
    type: str
    content_id: str
    annotations: list[Raw] | None = None


class _DatadogMetrics(Struct):
    metrics: list[Raw]


class _DatadogInteractions(Struct):
    annotated_interactions: list[Raw]


class _DatadogData(Struct, Generic[_Attributes]):
    attributes: _Attributes
    id: str | None = None
    """Of the queue."""


class _DatadogBody(Struct, Generic[_Attributes]):
    data: _DatadogData[_Attributes]


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The metrics of a body of the SDK, or the annotations of an answer."""
    data = read(document, _DatadogBody[_DatadogMetrics], _DatadogBody[_DatadogInteractions]).data
    if isinstance(data.attributes, _DatadogMetrics):
        metrics = data.attributes.metrics
        for raw, metric in zip(metrics, read_each(metrics, _DatadogMetric), strict=True):
            yield metric if isinstance(metric, SourceRecord) else _metric(metric, raw, rules)
        return
    interactions = data.attributes.annotated_interactions
    for raw, interaction in zip(interactions, read_each(interactions, _DatadogInteraction), strict=True):
        if isinstance(interaction, SourceRecord):
            yield interaction
            continue
        for annotation in read_each(interaction.annotations or (), _DatadogAnnotation):
            if isinstance(annotation, SourceRecord):
                yield annotation
                continue
            results = (_label(label, annotation, interaction, data.id, rules) for label in annotation.labels)
            yield SourceRecord(annotation.id, tuple(results), annotation.modified_at.ms, original=raw)


def _metric(metric: _DatadogMetric, raw: Raw, rules: Rules) -> SourceRecord:
    target, item, level = _target(metric, rules)
    author = None if metric.submitter is None else metric.submitter.id
    said = Judgement(
        name=metric.label,
        item=item,
        level=level,
        value=metric.score_value if metric.boolean_value is None else metric.boolean_value,
        label=metric.categorical_value,
        passed=_verdict(metric.assessment),
        comment=metric.reasoning,
        author=author,
    )
    result: Result
    if metric.text_value is not None:
        result = Skip(SkipReason.TEXT, metric.label)
    elif metric.event_kind == "feedback":
        result = rules.annotation(said)
    else:
        result = rules.evaluation(said)
    native = "/".join(filter(None, (target, metric.label, author)))
    return SourceRecord(native, (result,), metric.timestamp_ms, original=raw)


def _target(metric: _DatadogMetric, rules: Rules) -> tuple[str, str | None, Level]:
    """The natural key, the item and its level. Feedback has one id of what it is about, evaluations are joined."""
    join = metric.join_on or _DatadogJoin()
    if join.span is not None:
        target = f"{join.span.trace_id}/{join.span.span_id}"
        if rules.settings.item == "span":
            return target, join.span.span_id, "span"
        return target, join.span.trace_id, "trace"
    if join.tag is not None:
        known = join.tag.key == rules.settings.item_tag
        return f"{join.tag.key}={join.tag.value}", join.tag.value if known else None, "trace"
    ids: Mapping[Level, str | None] = {"span": metric.span_id, "thread": metric.session_id}
    level = next((level for level, id in ids.items() if id), None)
    item = metric.trace_id or metric.feedback_join_key if level is None else ids[level]
    return item or "", item, level or "trace"


def _label(
    label: _DatadogLabel,
    annotation: _DatadogAnnotation,
    interaction: _DatadogInteraction,
    queue: str | None,
    rules: Rules,
) -> Result:
    name = label.name_when_saved or label.label_schema_id or ""
    if label.type == "text":
        return Skip(SkipReason.TEXT, name)
    level = _LEVELS.get(interaction.type)
    # A choice of several labels has no single meaning.
    value = label.value[0] if isinstance(label.value, list) and len(label.value) == 1 else label.value
    said = Judgement(
        name=name,
        item=None if level is None else interaction.content_id,
        level=level or "trace",
        value=judged_value(value),
        passed=_verdict(label.assessment),
        comment=label.reasoning,
        author=annotation.created_by,
        queue=queue,
        part=name,
    )
    return rules.annotation(said)


def _verdict(assessment: Any) -> bool | None:
    return _VERDICTS.get(assessment) if isinstance(assessment, str) else None
