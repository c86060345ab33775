"""Requests in protobuf are read as those in JSON, and only their evaluations are decoded."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp_protobuf import LOG, REQUEST, SPAN_EVENT, protobuf_events
from ingest.otlp_protobuf import SPAN as SPAN_ENVELOPE
from sources.records import Malformed, UnknownShapeError
from sources.tools.otel import OtlpEvent, Signal, json_events
from tests.support.otlp import (
    NANOSECONDS,
    SPAN,
    TRACE,
    as_json,
    as_protobuf,
    attributes,
    event,
    judged,
    log,
    logs,
    other_log,
    span,
    traces,
)

KEY_VALUE: Final = LOG.DESCRIPTOR.fields_by_name["attributes"].message_type


def both(document: dict[str, Any], signal: Signal) -> list[Any]:
    """What a request has, which must not depend on its encoding."""
    placed = list(protobuf_events(as_protobuf(document), signal))
    assert placed == list(json_events(as_json(document), signal))
    return placed


@pytest.mark.parametrize("file", ["otel-logs-evaluation", "otel-logs-foundry", "otel-traces-span-events"])
def test_payloads_have_the_same_events_in_both_encodings(source_payloads: Path, file: str) -> None:
    document = json.loads((source_payloads / f"{file}.json").read_text())
    found = both(document, "traces" if "traces" in file else "logs")
    assert [each for each in found if isinstance(each.event, OtlpEvent)]


def test_an_evaluation_has_its_attributes_ids_and_time() -> None:
    kinds: dict[str, Any] = {"flag": True, "count": 7, "score": 0.5, "text": "x"}
    [placed] = both(logs(log(attributes=judged(**kinds))), "logs")
    assert placed == (1, OtlpEvent(placed.event.attributes, TRACE, SPAN, int(NANOSECONDS)))
    assert kinds.items() <= placed.event.attributes.items()


def test_attributes_without_a_plain_value_are_none() -> None:
    values: list[Any] = [
        {"arrayValue": {"values": [{"intValue": "1"}]}},
        {"kvlistValue": {}},
        {"bytesValue": "AAAA"},
        {},
    ]
    values.append({"doubleValue": "NaN"})
    own = [{"key": f"a{number}", "value": value} for number, value in enumerate(values)]
    [placed] = both(logs(log(attributes=[*judged(), *own])), "logs")
    assert [placed.event.attributes[f"a{number}"] for number in range(5)] == [None] * 5


def test_a_record_without_a_time_has_the_time_of_its_observation() -> None:
    for time in ({"timeUnixNano": "0"}, {"timeUnixNano": 0}, {}):
        record = {key: value for key, value in log().items() if key != "timeUnixNano"} | time
        [placed] = both(logs({**record, "observedTimeUnixNano": "5000000"}), "logs")
        assert placed.event.nanoseconds == 5_000_000


def test_an_evaluation_of_foundry_has_its_name_in_an_attribute() -> None:
    named = attributes(microsoft__custom_event__name="gen_ai.evaluation.result")
    [placed] = both(logs({**log(), "eventName": "", "attributes": [*judged(), *named]}), "logs")
    assert isinstance(placed.event, OtlpEvent)


def test_other_records_are_passed_over() -> None:
    mention = other_log("emitted gen_ai.evaluation.result")
    found = both(logs(other_log(), log(), mention, other_log()), "logs")
    assert [(each.number, each.event is None) for each in found] == [(1, True), (2, False), (3, True), (4, True)]
    assert [each.event for each in both(logs(other_log(), mention), "logs")] == [None, None]


def test_spans_have_evaluations_among_their_events() -> None:
    other = {"name": "exception", "attributes": attributes(exception__type="E")}
    found = both(traces(span(), span(other, event("a"), event("b")), span(event("c"), spanId="12" * 8)), "traces")
    names = [each.event and each.event.attributes["gen_ai.evaluation.name"] for each in found]
    assert list(zip([each.number for each in found], names, strict=True)) == [(1, None), (2, "a"), (2, "b"), (3, "c")]
    assert found[3].event.span == "12" * 8


def test_ids_of_zeros_are_none() -> None:
    [placed] = both(logs(log(traceId="00" * 16, spanId="00" * 8)), "logs")
    assert (placed.event.trace, placed.event.span) == ("", "")


@pytest.mark.parametrize(
    "ids", [{"traceId": TRACE[:-2]}, {"traceId": f"{TRACE}00"}, {"spanId": TRACE}, {"traceId": SPAN}]
)
def test_an_id_of_another_length_is_refused_and_the_others_are_taken(ids: dict[str, str]) -> None:
    documents: dict[Signal, dict[str, Any]] = {
        "logs": logs(log(), log(**ids), log()),
        "traces": traces(span(event()), span(event(), **ids), span(event())),
    }
    for signal, document in documents.items():
        first, second, third = both(document, signal)
        assert isinstance(first.event, OtlpEvent) and isinstance(third.event, OtlpEvent)
        assert isinstance(second.event, Malformed) and " id is not of " in second.event.why


def test_text_that_is_not_utf8_costs_only_its_own_record() -> None:
    """A collector forwards it, and the decoder of the whole request refuses all."""
    body = as_protobuf(logs(other_log("broken=XX"), log("a"), log("bXX"))).replace(b"XX", b"\xff\xfe")
    with pytest.raises(DecodeError):
        ExportLogsServiceRequest.FromString(body)
    other, first, second = protobuf_events(body, "logs")
    assert other.event is None and isinstance(first.event, OtlpEvent)
    assert second.event == Malformed("not protobuf, or text in it is not UTF-8")


@pytest.mark.parametrize("body", [b"{}", b"garbage of the wrong kind", bytes(range(256)), b"\x0a\x7fshort"])
def test_what_is_not_protobuf_is_no_request(body: bytes) -> None:
    with pytest.raises(UnknownShapeError, match="not protobuf"):
        protobuf_events(body, "logs")


def test_an_empty_request_has_nothing() -> None:
    assert list(protobuf_events(b"", "logs")) == list(protobuf_events(b"", "traces")) == []


def test_the_envelope_has_the_numbers_of_otlp() -> None:
    for message, path in (
        (ExportLogsServiceRequest.DESCRIPTOR, ("resource_logs", "scope_logs", "log_records")),
        (ExportTraceServiceRequest.DESCRIPTOR, ("resource_spans", "scope_spans", "spans")),
    ):
        envelope: Any = REQUEST.DESCRIPTOR
        real: Any = message
        for name, own in zip(path, ("resources", "scopes", "records"), strict=True):
            assert envelope.fields_by_name[own].number == real.fields_by_name[name].number
            envelope, real = envelope.fields_by_name[own].message_type, real.fields_by_name[name].message_type


def test_own_messages_have_fields_of_otlp() -> None:
    own_value = KEY_VALUE.fields_by_name["value"].message_type
    for own, real in (
        (SPAN_ENVELOPE.DESCRIPTOR, Span.DESCRIPTOR),
        (LOG.DESCRIPTOR, LogRecord.DESCRIPTOR),
        (SPAN_EVENT.DESCRIPTOR, Span.Event.DESCRIPTOR),
        (KEY_VALUE, KeyValue.DESCRIPTOR),
        (own_value, AnyValue.DESCRIPTOR),
    ):
        numbers = {field.name: field.number for field in own.fields}
        assert numbers == {name: real.fields_by_name[name].number for name in numbers}
    for own_event in (LOG, SPAN_EVENT):
        assert own_event.DESCRIPTOR.fields_by_name["attributes"].message_type is KEY_VALUE


def test_lists_and_objects_stay_bytes() -> None:
    """As messages, millions of empty ones would need many times the memory of their request."""
    own_value = KEY_VALUE.fields_by_name["value"].message_type
    assert not [field.name for field in own_value.fields if field.message_type is not None]
    assert [field.name for field in LOG.DESCRIPTOR.fields if field.message_type is not None] == ["attributes"]
