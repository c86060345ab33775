"""Reads export requests of OTLP in protobuf: only evaluations are decoded.

A pipeline sends many other log records and spans. A collector may send one with text that is not UTF-8, which the
decoder of the whole message refuses; so what is no evaluation stays bytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

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
    message_type {{
      name: "Log"
      field {{ name: "time_unix_nano" number: 1 label: LABEL_OPTIONAL type: TYPE_FIXED64 }}
      field {{ name: "attributes" number: 6 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".{PACKAGE}.KeyValue" }}
      field {{ name: "trace_id" number: 9 label: LABEL_OPTIONAL type: TYPE_BYTES }}
      field {{ name: "span_id" number: 10 label: LABEL_OPTIONAL type: TYPE_BYTES }}
      field {{ name: "observed_time_unix_nano" number: 11 label: LABEL_OPTIONAL type: TYPE_FIXED64 }}
      field {{ name: "event_name" number: 12 label: LABEL_OPTIONAL type: TYPE_STRING }}
    }}
    message_type {{
      name: "SpanEvent"
      field {{ name: "time_unix_nano" number: 1 label: LABEL_OPTIONAL type: TYPE_FIXED64 }}
      field {{ name: "name" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }}
      field {{ name: "attributes" number: 3 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".{PACKAGE}.KeyValue" }}
    }}
    message_type {{
      name: "KeyValue"
      field {{ name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }}
      field {{ name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".{PACKAGE}.Value" }}
    }}
    message_type {{
      name: "Value"
      field {{ name: "string_value" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING oneof_index: 0 }}
      field {{ name: "bool_value" number: 2 label: LABEL_OPTIONAL type: TYPE_BOOL oneof_index: 0 }}
      field {{ name: "int_value" number: 3 label: LABEL_OPTIONAL type: TYPE_INT64 oneof_index: 0 }}
      field {{ name: "double_value" number: 4 label: LABEL_OPTIONAL type: TYPE_DOUBLE oneof_index: 0 }}
      field {{ name: "array_value" number: 5 label: LABEL_OPTIONAL type: TYPE_BYTES oneof_index: 0 }}
      field {{ name: "kvlist_value" number: 6 label: LABEL_OPTIONAL type: TYPE_BYTES oneof_index: 0 }}
      field {{ name: "bytes_value" number: 7 label: LABEL_OPTIONAL type: TYPE_BYTES oneof_index: 0 }}
      oneof_decl {{ name: "value" }}
    }}
"""
"""The messages of OTLP as far as they are read. Resources and scopes are the same for log records and spans. Records,
lists and objects are bytes here: as messages, millions of empty ones would need many times the memory of their body.
"""


def _messages() -> Mapping[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_ENVELOPE, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClassesForFiles([f"{PACKAGE}.proto"], pool)


_MESSAGES: Final = _messages()
REQUEST: Final = _MESSAGES[f"{PACKAGE}.Request"]
SPAN: Final = _MESSAGES[f"{PACKAGE}.Span"]
LOG: Final = _MESSAGES[f"{PACKAGE}.Log"]
SPAN_EVENT: Final = _MESSAGES[f"{PACKAGE}.SpanEvent"]


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
        log = LOG.FromString(record)
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
        event = SPAN_EVENT.FromString(record)
        if event.name != EVENT:
            return None
        return otlp_event(_plain(event.attributes), span.trace_id.hex(), span.span_id.hex(), event.time_unix_nano)
    except (DecodeError, UnknownShapeError) as error:
        return _malformed(error)


def _malformed(error: DecodeError | UnknownShapeError) -> Malformed:
    # The message of protobuf is long, and has no place.
    return Malformed("not protobuf, or text in it is not UTF-8" if isinstance(error, DecodeError) else str(error))


def _plain(attributes: Iterable[Any]) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
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
