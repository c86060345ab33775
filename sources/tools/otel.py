"""OpenTelemetry: the event `gen_ai.evaluation.result`, as a log record or as a span event, in OTLP/JSON.

Shapes: open-telemetry/semantic-conventions-genai `model/gen-ai/events.yaml`, pydantic-evals `_otel_emit.py`, and
Microsoft Foundry, which marks the event by an attribute, has the scale in JSON text, and emits ratings of people too.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from aggregator.facts import LATEST_AT, Direction, Level
from sources.meaning import Judgement, Rules
from sources.records import Malformed, Skip, SkipReason, SourceRecord
from sources.shapes import finite, read

EVENT: Final = "gen_ai.evaluation.result"
_EVALUATION: Final = "gen_ai.evaluation."
_SCORE: Final = f"{_EVALUATION}score."
_VERDICTS: Final[Mapping[Any, bool]] = {"pass": True, "fail": False}
_DIRECTIONS: Final[Mapping[Any, Direction]] = {"increase": "higher", "decrease": "lower"}
_HUMAN: Final = ("microsoft.gen_ai.human_evaluation", "microsoft.human_evaluation")
"""Prefixes of attributes of a rating by a person, the newest first."""
_ITEMS: Final[Mapping[str, tuple[str, Level]]] = {
    "response": ("gen_ai.response.id", "span"),
    "session": ("session.id", "thread"),
    "conversation": ("gen_ai.conversation.id", "thread"),
}
"""Attribute and level of an item that is neither trace nor span."""


_Nanoseconds = int | Annotated[str, Meta(pattern=r"^[0-9]{1,20}$")]


class _OtlpAnyValue(Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None

    def plain(self) -> bool | float | str | None:
        """The value. OTLP/JSON has 64 bit integers, NaN and infinity as strings."""
        number = self.int_value if self.double_value is None else self.double_value
        if number is not None:
            return finite(number)
        return self.string_value if self.bool_value is None else self.bool_value


class _OtlpKeyValue(Struct):
    key: str
    value: _OtlpAnyValue = msgspec.field(default_factory=_OtlpAnyValue)


class _OtlpLogRecord(Struct, rename="camel"):
    time_unix_nano: _Nanoseconds = 0
    observed_time_unix_nano: _Nanoseconds = 0
    event_name: str = ""
    trace_id: str = ""
    span_id: str = ""
    attributes: list[_OtlpKeyValue] = []


class _OtlpScopeLogs(Struct, rename="camel"):
    log_records: list[_OtlpLogRecord] = []


class _OtlpResourceLogs(Struct, rename="camel"):
    scope_logs: list[_OtlpScopeLogs] = []


class _OtlpLogs(Struct, rename="camel"):
    resource_logs: list[_OtlpResourceLogs]


class _OtlpSpanEvent(Struct, rename="camel"):
    time_unix_nano: _Nanoseconds = 0
    name: str = ""
    attributes: list[_OtlpKeyValue] = []


class _OtlpSpan(Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    events: list[_OtlpSpanEvent] = []


class _OtlpScopeSpans(Struct):
    spans: list[_OtlpSpan] = []


class _OtlpResourceSpans(Struct, rename="camel"):
    scope_spans: list[_OtlpScopeSpans] = []


class _OtlpTraces(Struct, rename="camel"):
    resource_spans: list[_OtlpResourceSpans]


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The evaluations among the log records, or the span events, of an export request."""
    request = read(document, _OtlpLogs, _OtlpTraces)
    if isinstance(request, _OtlpLogs):
        for log in (log for each in request.resource_logs for scope in each.scope_logs for log in scope.log_records):
            attributes = {each.key: each.value.plain() for each in log.attributes}
            time = int(log.time_unix_nano) or int(log.observed_time_unix_nano)
            name = log.event_name or attributes.get("microsoft.custom_event.name")
            yield _record(_OtlpEvent(name, attributes, log.trace_id.lower(), log.span_id.lower(), time), rules)
        return
    for span in (span for each in request.resource_spans for scope in each.scope_spans for span in scope.spans):
        for event in span.events:
            attributes = {each.key: each.value.plain() for each in event.attributes}
            time = int(event.time_unix_nano)
            yield _record(_OtlpEvent(event.name, attributes, span.trace_id.lower(), span.span_id.lower(), time), rules)


class _OtlpEvent(NamedTuple):
    """A log record or a span event."""

    name: Any
    attributes: Mapping[str, Any]
    trace: str
    """In lower case, as all ids."""
    span: str
    nanoseconds: int
    """0 where it has no time."""


def _record(event: _OtlpEvent, rules: Rules) -> SourceRecord:
    attributes = event.attributes
    name = str(attributes.get(f"{_EVALUATION}name", ""))
    human, rating = _human(attributes)
    native = rating or f"{event.trace}/{event.span}/{name}"
    if event.name != EVENT:
        return SourceRecord(native, (Skip(SkipReason.NOT_AN_EVALUATION, "another event"),))
    at = event.nanoseconds // 1_000_000 or None
    if at is not None and not 0 <= at <= LATEST_AT:
        return SourceRecord(native, (Malformed("a time is not between the years 1970 and 9999"),))
    properties = _properties(attributes)
    label, explanation = attributes.get(f"{_SCORE}label"), attributes.get(f"{_EVALUATION}explanation")
    passed, error = attributes.get(f"{_EVALUATION}passed"), attributes.get("error.type")
    evaluator = [attributes.get(f"gen_ai.evaluator.{part}") for part in ("name", "version")]
    item, level = _item(event, rules.settings.item or "trace")
    said = Judgement(
        name=name,
        item=item,
        level=level,
        value=attributes.get(f"{_SCORE}value"),
        label=label,
        passed=passed if isinstance(passed, bool) else _VERDICTS.get(label),
        scale=_scale(properties),
        threshold=finite(properties.get(f"{_EVALUATION}threshold")),
        direction=_DIRECTIONS.get(properties.get(f"{_EVALUATION}desirable_direction")),
        error=None if error is None else explanation or error,
        comment=explanation,
        author=attributes.get("enduser.id") or attributes.get("enduser.pseudo.id"),
        judge="/".join(filter(None, evaluator)) or attributes.get(f"{_EVALUATION}evaluator.version"),
        queue=human,
    )
    is_rating = human is not None or rules.role(name) == "human"
    result = rules.annotation(said) if is_rating else rules.evaluation(said)
    return SourceRecord(native, (result,), at)


def _human(attributes: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Who rated, in the words of the tool, and the id of the rating; None for a judge."""
    properties = _properties(attributes)
    for prefix in _HUMAN:
        source = attributes.get(f"{prefix}.source") or properties.get(f"{prefix}.source")
        id = attributes.get(f"{prefix}.id") or properties.get(f"{prefix}.id")
        if source is not None or id is not None:
            return source or "human", id
    return ("human" if attributes.get("microsoft.gen_ai.evaluation.actor.type") == "human" else None), None


def _properties(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object in the JSON text of Foundry."""
    try:
        properties = msgspec.json.decode(attributes.get("internal_properties", "{}"))
    except (msgspec.DecodeError, TypeError):
        return {}
    return properties if isinstance(properties, dict) else {}


def _scale(properties: Mapping[str, Any]) -> Literal["stars", "thumbs"] | None:
    kind = properties.get(f"{_EVALUATION}type")
    limits = [finite(properties.get(f"{_EVALUATION}{end}_value")) for end in ("min", "max")]
    if kind == "ordinal" and limits == [1, 5]:
        return "stars"
    return "thumbs" if kind == "boolean" else None


def _item(event: _OtlpEvent, rule: str) -> tuple[str | None, Level]:
    """The item and its level. An event may be emitted within the evaluator's span, so the default is the trace."""
    if rule in _ITEMS:
        attribute, level = _ITEMS[rule]
        return event.attributes.get(attribute), level
    return (event.span, "span") if rule == "span" else (event.trace, "trace")
