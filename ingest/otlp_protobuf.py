"""Reads export requests of OTLP in protobuf: only evaluations are decoded.

A pipeline sends many other log records and spans. A collector may send one with text that is not UTF-8, which the
decoder of the whole message refuses; so what is no evaluation stays bytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sources.records import Malformed, UnknownShapeError
from sources.shapes import finite
from sources.tools.otel import (
    EVENT,
    EVENT_BYTES,
    OtlpEvent,
    PlacedEvent,
    Signal,
    is_evaluation,
    otlp_event,
)

PACKAGE: Final = "eval_alignment.otlp"
_ENVELOPE: Final = f"""
    name: "{PACKAGE}.proto" package: "{PACKAGE}" syntax: "proto3"
    message_type {{
      name: "Request"
      field {{ name: "resources" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".{PACKAGE}.Resource" }}
    }}
    message_type {{
      name: "Resource"
      field {{ name: "scopes" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".{PACKAGE}.Scope" }}
    }}
    message_type {{
      name: "Scope"
      field {{ name: "records" number: 2 label: LABEL_REPEATED type: TYPE_BYTES }}
    }}
    message_type {{
      name: "Span"
      field {{ name: "trace_id" number: 1 label: LABEL_OPTIONAL type: TYPE_BYTES }}
      field {{ name: "span_id" number: 2 label: LABEL_OPTIONAL type: TYPE_BYTES }}
      field {{ name: "events" number: 11 label: LABEL_REPEATED type: TYPE_BYTES }}
    }}
"""
"""The messages of OTLP down to records, which are bytes here. Log records and spans have the same numbers."""


def _messages() -> Mapping[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_ENVELOPE, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClassesForFiles([f"{PACKAGE}.proto"], pool)


_MESSAGES: Final = _messages()
REQUEST: Final = _MESSAGES[f"{PACKAGE}.Request"]
SPAN: Final = _MESSAGES[f"{PACKAGE}.Span"]


def protobuf_events(body: bytes, signal: Signal) -> Iterator[PlacedEvent]:
    """The log records, or the span events, of an export request in protobuf. Raises UnknownShapeError."""
    try:
        request = REQUEST.FromString(body)
    except DecodeError:
        raise UnknownShapeError("the body is not protobuf of an export request") from None
    return _events(request, signal, mentioned=EVENT_BYTES in body)


def _events(request: Any, signal: Signal, *, mentioned: bool) -> Iterator[PlacedEvent]:
    number = 0
    for resource in request.resources:
        for scope in resource.scopes:
            for record in scope.records:
                number += 1
                if not (mentioned and EVENT_BYTES in record):
                    yield PlacedEvent(number, None)
                elif signal == "logs":
                    yield PlacedEvent(number, _log(record))
                else:
                    yield from _span(record, number)


def _log(record: bytes) -> OtlpEvent | Malformed | None:
    try:
        log = LogRecord.FromString(record)
        attributes = _plain(log.attributes)
        if not is_evaluation(log.event_name, attributes):
            return None
        nanoseconds = log.time_unix_nano or log.observed_time_unix_nano
        return otlp_event(attributes, log.trace_id.hex(), log.span_id.hex(), nanoseconds)
    except (DecodeError, UnknownShapeError) as error:
        return _malformed(error)


def _span(record: bytes, number: int) -> Iterator[PlacedEvent]:
    try:
        span = SPAN.FromString(record)
    except DecodeError as error:
        yield PlacedEvent(number, _malformed(error))
        return
    for event in span.events:
        if EVENT_BYTES in event:
            yield PlacedEvent(number, _span_event(span, event))


def _span_event(span: Any, record: bytes) -> OtlpEvent | Malformed | None:
    try:
        event = Span.Event.FromString(record)
        if event.name != EVENT:
            return None
        return otlp_event(_plain(event.attributes), span.trace_id.hex(), span.span_id.hex(), event.time_unix_nano)
    except (DecodeError, UnknownShapeError) as error:
        return _malformed(error)


def _malformed(error: DecodeError | UnknownShapeError) -> Malformed:
    # The message of protobuf is long, and has no place.
    return Malformed("not protobuf, or text in it is not UTF-8" if isinstance(error, DecodeError) else str(error))


def _plain(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> Any:
    """The value, as in JSON: finite numbers, and None for lists, objects and bytes."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return finite(value.int_value)
        case "double_value":
            return finite(value.double_value)
        case _:
            return None
