"""OpenTelemetry: the event `gen_ai.evaluation.result`, as a log record or as a span event, in OTLP/JSON.

Shapes: open-telemetry/semantic-conventions-genai `model/gen-ai/events.yaml`, pydantic-evals `_otel_emit.py`, and
Microsoft Foundry, which marks the event by an attribute, has the scale in JSON text, and emits ratings of people too.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from aggregator.facts import LATEST_AT, Direction, Level
from sources.meaning import Judgement, Rules
from sources.records import Malformed, Skip, SkipReason, SourceRecord, UnknownShapeError
from sources.shapes import finite, read

Signal = Literal["logs", "traces"]
"""What an export request has."""

EVENT: Final = "gen_ai.evaluation.result"
EVENT_BYTES: Final = EVENT.encode()
"""What is in every evaluation as it arrives, so that a pipeline's other records need not be decoded."""
UNITS: Final[Mapping[Signal, str]] = {"logs": "log record", "traces": "span"}
"""What an export request has many of."""

_ESCAPED: Final = b"\\u00"
"""In JSON the characters of `EVENT` may also be written so."""
_EVALUATION: Final = "gen_ai.evaluation."
_SCORE: Final = f"{_EVALUATION}score."
_CUSTOM_NAME: Final = "microsoft.custom_event.name"
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
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]*")


_Nanoseconds = int | Annotated[str, Meta(pattern=r"^[0-9]{1,20}$")] | None


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


_NO_VALUE: Final = _OtlpAnyValue()


class _OtlpKeyValue(Struct):
    key: str
    value: _OtlpAnyValue | None = None


_Attributes = list[_OtlpKeyValue] | None


class _OtlpLogRecord(Struct, rename="camel"):
    time_unix_nano: _Nanoseconds = 0
    observed_time_unix_nano: _Nanoseconds = 0
    event_name: str | None = ""
    trace_id: str | None = ""
    span_id: str | None = ""
    attributes: _Attributes = None


class _OtlpScopeLogs(Struct, rename="camel"):
    log_records: list[msgspec.Raw] | None = None


class _OtlpResourceLogs(Struct, rename="camel"):
    scope_logs: list[_OtlpScopeLogs] | None = None


class _OtlpSpanEvent(Struct, rename="camel"):
    time_unix_nano: _Nanoseconds = 0
    name: str | None = ""
    attributes: _Attributes = None


class _OtlpSpan(Struct, rename="camel"):
    trace_id: str | None = ""
    span_id: str | None = ""
    events: list[msgspec.Raw] | None = None


class _OtlpScopeSpans(Struct):
    spans: list[msgspec.Raw] | None = None


class _OtlpResourceSpans(Struct, rename="camel"):
    scope_spans: list[_OtlpScopeSpans] | None = None


class _OtlpExport(Struct, rename="camel"):
    # Each record is decoded by itself, so that a broken one leaves the others.
    resource_logs: list[_OtlpResourceLogs] | None = None
    resource_spans: list[_OtlpResourceSpans] | None = None


class OtlpEvent(NamedTuple):
    """A log record or a span event with the name of an evaluation."""

    attributes: Mapping[str, Any]
    """Numbers are finite; None for lists and objects."""
    trace: str
    """In lower case, as all ids; empty where it has none."""
    span: str
    nanoseconds: int
    """0 where it has no time."""


class PlacedEvent(NamedTuple):
    """A log record or a span event, and where it was."""

    number: int
    """Of its log record or span in the request, from 1."""
    event: OtlpEvent | Malformed | None
    """None for one that is not an evaluation."""


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The evaluations among the log records, or the span events, of an export request."""
    request = read(document, _OtlpExport)
    if request.resource_logs is None and request.resource_spans is None:
        raise UnknownShapeError("neither resourceLogs nor resourceSpans is found - at `$`")
    mentioned = _is_mentioned(document)
    yield from (source_record(placed, "logs", rules) for placed in _logs(request, mentioned=mentioned))
    yield from (source_record(placed, "traces", rules) for placed in _span_events(request, mentioned=mentioned))


def json_events(document: bytes, signal: Signal) -> Iterator[PlacedEvent]:
    """The log records, or the span events, of an export request in JSON. Raises UnknownShapeError."""
    request = read(document, _OtlpExport)
    if signal == "logs":
        if request.resource_logs is None and request.resource_spans is not None:
            raise UnknownShapeError("the request has spans, which go to /v1/traces")
        return _logs(request, mentioned=_is_mentioned(document))
    if request.resource_spans is None and request.resource_logs is not None:
        raise UnknownShapeError("the request has log records, which go to /v1/logs")
    return _span_events(request, mentioned=_is_mentioned(document))


def _is_mentioned(json: bytes) -> bool:
    """Whether JSON can have the name of an evaluation."""
    return EVENT_BYTES in json or _ESCAPED in json


def _logs(request: _OtlpExport, *, mentioned: bool) -> Iterator[PlacedEvent]:
    scopes = (scope for each in request.resource_logs or () for scope in each.scope_logs or ())
    raws = (raw for scope in scopes for raw in scope.log_records or ())
    for number, raw in enumerate(raws, start=1):
        event = _log(raw) if mentioned and _is_mentioned(bytes(raw)) else None
        yield PlacedEvent(number, event)


def _log(raw: msgspec.Raw) -> OtlpEvent | Malformed | None:
    try:
        log = read(raw, _OtlpLogRecord)
        attributes = _plain(log.attributes)
        if not is_evaluation(log.event_name, attributes):
            return None
        nanoseconds = int(log.time_unix_nano or 0) or int(log.observed_time_unix_nano or 0)
        return otlp_event(attributes, log.trace_id or "", log.span_id or "", nanoseconds)
    except UnknownShapeError as error:
        return Malformed(str(error), bytes(raw))


def _span_events(request: _OtlpExport, *, mentioned: bool) -> Iterator[PlacedEvent]:
    scopes = (scope for each in request.resource_spans or () for scope in each.scope_spans or ())
    raws = (raw for scope in scopes for raw in scope.spans or ())
    for number, raw in enumerate(raws, start=1):
        if not (mentioned and _is_mentioned(bytes(raw))):
            yield PlacedEvent(number, None)
            continue
        try:
            span = read(raw, _OtlpSpan)
        except UnknownShapeError as error:
            yield PlacedEvent(number, Malformed(str(error), bytes(raw)))
            continue
        for event in span.events or ():
            if _is_mentioned(bytes(event)):
                yield PlacedEvent(number, _span_event(span, event))


def _span_event(span: _OtlpSpan, raw: msgspec.Raw) -> OtlpEvent | Malformed | None:
    try:
        event = read(raw, _OtlpSpanEvent)
        if event.name != EVENT:
            return None
        attributes = _plain(event.attributes)
        return otlp_event(attributes, span.trace_id or "", span.span_id or "", int(event.time_unix_nano or 0))
    except UnknownShapeError as error:
        return Malformed(str(error), bytes(raw))


def _plain(attributes: _Attributes) -> dict[str, Any]:
    return {each.key: (each.value or _NO_VALUE).plain() for each in attributes or ()}


def is_evaluation(name: str | None, attributes: Mapping[str, Any]) -> bool:
    """Whether a log record is an evaluation. Foundry has the name of an event in an attribute."""
    return (name or attributes.get(_CUSTOM_NAME)) == EVENT


def otlp_event(attributes: Mapping[str, Any], trace: str, span: str, nanoseconds: int) -> OtlpEvent:
    """An evaluation. Raises UnknownShapeError for ids that are not hexadecimal digits."""
    return OtlpEvent(attributes, _id("trace", trace, 32), _id("span", span, 16), nanoseconds)


def _id(kind: str, text: str, digits: int) -> str:
    """An id in lower case; empty for none, and for one of zeros, which is invalid."""
    id = text.lower()
    if id and (len(id) != digits or not _HEXADECIMAL.fullmatch(id)):
        raise UnknownShapeError(
            f"the {kind} id is not of {digits} hexadecimal digits ({digits // 2} bytes): OTLP/JSON has no ids in base64"
        )
    return id if id.strip("0") else ""


def source_record(placed: PlacedEvent, signal: Signal, rules: Rules) -> SourceRecord:
    """What a log record or a span event states by the rules of its source. A malformed one is named by its number."""
    match placed.event:
        case None:
            return SourceRecord("", (Skip(SkipReason.NOT_AN_EVALUATION, "another event"),))
        case Malformed(why, value):
            return SourceRecord("", (Malformed(f"{UNITS[signal]} {placed.number}: {why}", value),))
        case event if event.nanoseconds // 1_000_000 > LATEST_AT or event.nanoseconds < 0:
            why = "a time is not between the years 1970 and 9999"
            return SourceRecord("", (Malformed(f"{UNITS[signal]} {placed.number}: {why}"),))
        case event:
            return _evaluation(event, rules)


def _evaluation(event: OtlpEvent, rules: Rules) -> SourceRecord:
    attributes = event.attributes
    name = _text(attributes, f"{_EVALUATION}name") or ""
    human, rating = _human(attributes)
    native = rating or f"{event.trace}/{event.span}/{name}"
    at = event.nanoseconds // 1_000_000 or None
    properties = _properties(attributes)
    label, explanation = _text(attributes, f"{_SCORE}label"), _text(attributes, f"{_EVALUATION}explanation")
    passed, error = attributes.get(f"{_EVALUATION}passed"), "error.type"
    evaluator = [_text(attributes, f"gen_ai.evaluator.{part}") for part in ("name", "version")]
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
        error=(explanation or _text(attributes, error) or "") if error in attributes else None,
        comment=explanation,
        author=_text(attributes, "enduser.id") or _text(attributes, "enduser.pseudo.id"),
        judge="/".join(filter(None, evaluator)) or _text(attributes, f"{_EVALUATION}evaluator.version"),
        queue=human,
    )
    is_rating = human is not None or rules.role(name) == "human"
    result = rules.annotation(said) if is_rating else rules.evaluation(said)
    return SourceRecord(native, (result,), at, original={"attributes": attributes})


def _text(values: Mapping[str, Any], name: str) -> str | None:
    """The text of an attribute, also of a number: SDKs send the version 2 as one. None for an empty one."""
    value = values.get(name)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value or None
    number = finite(value)
    return None if number is None else f"{number:.0f}" if number.is_integer() else repr(number)


def _human(attributes: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Who rated, in the words of the tool, and the id of the rating; None for a judge."""
    properties = _properties(attributes)
    for prefix in _HUMAN:
        source = _text(attributes, f"{prefix}.source") or _text(properties, f"{prefix}.source")
        id = _text(attributes, f"{prefix}.id") or _text(properties, f"{prefix}.id")
        if source is not None or id is not None:
            return source or "human", id
    return ("human" if attributes.get("microsoft.gen_ai.evaluation.actor.type") == "human" else None), None


def _properties(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object in the JSON text of Foundry."""
    try:
        properties = msgspec.json.decode(attributes.get("internal_properties", "{}"))
    except (msgspec.DecodeError, TypeError, UnicodeError, RecursionError):
        return {}
    return properties if isinstance(properties, dict) else {}


def _scale(properties: Mapping[str, Any]) -> Literal["stars", "thumbs"] | None:
    kind = properties.get(f"{_EVALUATION}type")
    limits = [finite(properties.get(f"{_EVALUATION}{end}_value")) for end in ("min", "max")]
    if kind == "ordinal" and limits == [1, 5]:
        return "stars"
    return "thumbs" if kind == "boolean" else None


def _item(event: OtlpEvent, rule: str) -> tuple[str | None, Level]:
    """The item and its level. An event may be emitted within the evaluator's span, so the default is the trace."""
    if rule in _ITEMS:
        attribute, level = _ITEMS[rule]
        return _text(event.attributes, attribute), level
    return (event.span, "span") if rule == "span" else (event.trace, "trace")
