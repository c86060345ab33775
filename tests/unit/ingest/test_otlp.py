"""The contract of `POST /v1/logs` and `POST /v1/traces`: what is taken, what is answered, and in which encoding."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from aggregator.days import DAY_MS
from ingest.publish import NotAcknowledgedError, TooLargeForBrokerError
from sinks.access import AccessToken
from tests.support.ingest import NOW_MS, TOPICS, Door, open_door, packed
from tests.support.otlp import (
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
from tests.support.sources import tool_source

SOURCES = {"spans": tool_source("otel", id_prefix="spans"), "pages": tool_source("confident")}
JSON, PROTOBUF = "application/json", "application/x-protobuf"
TYPES = [JSON, PROTOBUF]


@pytest.fixture
async def otlp() -> AsyncIterator[Door]:
    async with open_door(sources=SOURCES) as door:
        yield door


async def export(door: Door, document: Any, content_type: str = JSON, path: str = "", **headers: str) -> httpx.Response:
    """Send a request as its exporter does."""
    if isinstance(document, bytes):
        body = document
    else:
        body = as_json(document) if content_type.startswith("application/json") else as_protobuf(document)
    default = "/v1/traces" if isinstance(document, dict) and "resourceSpans" in document else "/v1/logs"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type:
        named["content-type"] = content_type
    return await door.client.post(path or default, content=body, headers=named)


def partial(response: httpx.Response) -> tuple[int, str]:
    """How many log records or spans are rejected, and why, from an answer in either encoding."""
    assert response.status_code == 200
    message: Any = ExportTraceServiceResponse() if "/v1/traces" in str(response.url) else ExportLogsServiceResponse()
    if response.headers["content-type"] == PROTOBUF:
        message.ParseFromString(response.content)
    else:
        assert response.headers["content-type"] == JSON
        json_format.Parse(response.content, message)
    success = message.partial_success
    count = success.rejected_spans if "/v1/traces" in str(response.url) else success.rejected_log_records
    return count, success.error_message


def failure(response: httpx.Response) -> str:
    """The message of google.rpc.Status, from an answer in either encoding."""
    status = Status()
    if response.headers["content-type"] == PROTOBUF:
        status.ParseFromString(response.content)
    else:
        assert response.headers["content-type"] == JSON
        json_format.Parse(response.content, status)
    return str(status.message)


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("document", [logs(other_log(), log()), traces(span(), span(event()))], ids=["logs", "traces"])
async def test_evaluations_become_events_and_the_rest_is_passed_over(
    otlp: Door, content_type: str, document: Any
) -> None:
    response = await export(otlp, document, content_type)
    assert partial(response) == (0, "")
    assert response.content == (b"" if content_type == PROTOBUF else b"{}")
    [sent] = otlp.publisher.sent
    assert (sent.topic, sent.key) == (TOPICS.evaluations, TRACE.encode())
    fact = json.loads(sent.value or b"")
    assert (fact["metric"], fact["passed"], fact["at"]) == ("relevance", True, "2026-09-21T14:00:00.123Z")
    assert fact["id"].startswith("spans:")
    assert otlp.metric("source_events_total", source="spans") == 1
    assert otlp.metric("source_skipped_total", source="spans", reason="not_an_evaluation") == 1
    assert otlp.metric("source_rejected_total", source="spans") == 0


@pytest.mark.parametrize("content_type", TYPES)
async def test_only_broken_evaluations_are_a_partial_success(otlp: Door, content_type: str) -> None:
    # Until the clock of the broker is known, a day ahead is accepted.
    late = log("late", timeUnixNano=str((NOW_MS + 2 * DAY_MS) * 10**6))
    bare = log(attributes=attributes(gen_ai__evaluation__name="bare"))
    document = logs(other_log(), log(), log(traceId=TRACE[:-2]), bare, late, log("x" * 200), log("b"))
    response = await export(otlp, document, content_type)
    count, message = partial(response)
    assert count == 3
    assert message.startswith(
        "3 log records with an evaluation rejected, 2 accepted, 1 skipped (no_rule): log record 3: "
    )
    assert "log record 3: the trace id is not of 32 hexadecimal digits" in message
    assert "log record 5: " in message and "log record 6: " in message
    assert [json.loads(sent.value or b"")["metric"] for sent in otlp.publisher.sent] == ["relevance", "b"]
    # The sender was told.
    assert {sent.topic for sent in otlp.publisher.sent} == {TOPICS.evaluations}
    assert otlp.metric("source_rejected_total", source="spans") == 3
    assert otlp.metric("source_skipped_total", source="spans", reason="no_rule") == 1


@pytest.mark.parametrize("content_type", TYPES)
async def test_a_span_with_several_broken_evaluations_is_one_span(otlp: Door, content_type: str) -> None:
    far = "9" * 19
    broken = span(event("x" * 200), event("a"), event("b", timeUnixNano=far))
    count, message = partial(await export(otlp, traces(span(), broken, span(event("c"))), content_type))
    assert (count, len(otlp.publisher.sent)) == (1, 2)
    assert message.startswith("1 span with an evaluation rejected, 2 accepted: span 2: ")


async def test_64_bit_numbers_are_strings_in_json(otlp: Door) -> None:
    response = await export(otlp, logs(log(traceId="abc")))
    assert response.json()["partialSuccess"]["rejectedLogRecords"] == "1"


async def test_reasons_are_bounded(otlp: Door) -> None:
    count, message = partial(await export(otlp, logs(*(log(traceId="zz" * 16) for _ in range(1000)))))
    assert count == 1000
    assert message.endswith("; and 995 more") and len(message) < 1000


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("content_type", TYPES)
async def test_bodies_may_be_compressed(otlp: Door, content_type: str, encoding: str) -> None:
    body = as_json(logs(log())) if content_type == JSON else as_protobuf(logs(log()))
    response = await export(otlp, packed(body, encoding), content_type, content_encoding=encoding)
    assert partial(response) == (0, "")
    assert len(otlp.publisher.sent) == 1


@pytest.mark.parametrize(
    ("content_type", "answered"),
    [
        ("application/json; charset=utf-8", JSON),
        ("Application/JSON", JSON),
        ("application/x-protobuf; v=1", PROTOBUF),
        ("application/protobuf", PROTOBUF),
    ],
)
async def test_parameters_and_case_of_the_type_do_not_matter(otlp: Door, content_type: str, answered: str) -> None:
    body = as_json(logs(log())) if answered == JSON else as_protobuf(logs(log()))
    response = await export(otlp, body, content_type)
    assert (response.status_code, response.headers["content-type"]) == (200, answered)
    assert len(otlp.publisher.sent) == 1


@pytest.mark.parametrize("encoded", [as_json, as_protobuf])
async def test_a_missing_type_is_told_by_the_body(otlp: Door, encoded: Any) -> None:
    response = await export(otlp, encoded(logs(log())), "")
    assert partial(response) == (0, "")
    assert response.headers["content-type"] == (JSON if encoded is as_json else PROTOBUF)
    assert len(otlp.publisher.sent) == 1


async def test_another_type_is_refused_and_those_that_are_taken_are_named(otlp: Door) -> None:
    response = await export(otlp, b"a=b", "application/x-www-form-urlencoded")
    assert response.status_code == 415
    assert "application/x-protobuf, application/json" in failure(response)
    assert "application/x-protobuf" in response.headers["accept-post"]
    response = await export(otlp, b"x", PROTOBUF, content_encoding="br")
    assert response.status_code == 415 and "gzip, zstd" in failure(response)


@pytest.mark.parametrize(("content_type", "body"), [(JSON, b"[]"), (JSON, b"{"), (JSON, b"\xff"), (PROTOBUF, b"{}")])
async def test_what_is_not_a_request_is_answered_in_its_encoding(otlp: Door, content_type: str, body: bytes) -> None:
    response = await export(otlp, body, content_type)
    assert (response.status_code, response.headers["content-type"]) == (400, content_type)
    assert failure(response).startswith("the body is not an export request of logs: ")
    assert otlp.publisher.sent == []


async def test_corrupt_compression_is_answered_in_the_encoding_of_the_request(otlp: Door) -> None:
    response = await export(otlp, b"no gzip", PROTOBUF, content_encoding="gzip")
    assert response.status_code == 400 and "not gzip" in failure(response)
    assert response.headers["content-type"] == PROTOBUF


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("path", ["/v1/logs", "/v1/traces"])
async def test_an_empty_request_is_a_success(otlp: Door, content_type: str, path: str) -> None:
    response = await export(otlp, b"" if content_type == PROTOBUF else b"{}", content_type, path)
    assert partial(response) == (0, "")


@pytest.mark.parametrize("content_type", TYPES)
async def test_what_the_broker_did_not_acknowledge_is_sent_again_later(otlp: Door, content_type: str) -> None:
    otlp.publisher.error = NotAcknowledgedError("the broker did not acknowledge the events in time")
    response = await export(otlp, logs(log()), content_type)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert "did not acknowledge" in failure(response)
    assert otlp.metric("source_events_total", source="spans") == 0
    # Nothing of a request without evaluations waits for the broker.
    assert (await export(otlp, logs(other_log()), content_type)).status_code == 200
    otlp.publisher.error = TooLargeForBrokerError("the broker refuses events as too large")
    assert (await export(otlp, logs(log()), content_type)).status_code == 413


@pytest.mark.parametrize("content_type", TYPES)
async def test_only_evaluations_wait_while_the_broker_is_away(otlp: Door, content_type: str) -> None:
    otlp.publisher.away = "not connected to the broker"
    assert (await export(otlp, logs(other_log()), content_type)).status_code == 200
    response = await export(otlp, logs(other_log(), log()), content_type)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert failure(response) == "not connected to the broker"


async def test_without_a_source_the_setting_is_named() -> None:
    async with open_door(sources={"pages": tool_source("confident")}) as door:
        for content_type in TYPES:
            response = await export(door, logs(log()), content_type)
            assert response.status_code == 404
            assert failure(response) == 'no source takes OTLP: add one with `tool = "otel"` to the setting `sources`'


async def test_limits_are_those_of_sources() -> None:
    async with open_door(sources=SOURCES, body_bytes=10, source_body_bytes=2000) as door:
        assert (await export(door, logs(log()))).status_code == 200
        response = await export(door, logs(*[log()] * 20), PROTOBUF)
        assert response.status_code == 413 and "ingest_source_body_bytes" in failure(response)
        # The limit is of unpacked bytes.
        response = await export(door, packed(as_json(logs(*[log()] * 20)), "gzip"), content_encoding="gzip")
        assert response.status_code == 413


async def test_other_requests_leave_no_room() -> None:
    async with open_door(sources=SOURCES, in_flight_bytes=100, body_bytes=100, source_body_bytes=10_000) as door:
        response = await export(door, logs(log()), PROTOBUF)
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
        assert "ingest_in_flight_bytes" in failure(response)


async def test_the_token_of_ingest_guards_otlp() -> None:
    token = AccessToken("collector", b"0123456789abcdef0123456789abcdef")
    async with open_door((token,), sources=SOURCES) as door:
        for path in ("/v1/logs", "/v1/traces"):
            assert (await export(door, b"", PROTOBUF, path)).status_code == 401
            response = await export(door, b"", PROTOBUF, path, authorization=f"Bearer {token.token.decode()}")
            assert response.status_code == 200


async def test_pages_of_other_sites_are_refused(otlp: Door) -> None:
    assert (await export(otlp, logs(log()), origin="https://example.org")).status_code == 403


@pytest.mark.parametrize("content_type", TYPES)
async def test_a_large_request_is_read_in_a_thread_with_the_same_result(otlp: Door, content_type: str) -> None:
    document = logs(*(log("relevance") if number % 100 == 0 else other_log() for number in range(1000)))
    assert partial(await export(otlp, document, content_type)) == (0, "")
    assert len(otlp.publisher.sent) == 10
    assert otlp.metric("source_skipped_total", source="spans", reason="not_an_evaluation") == 990


async def test_an_evaluation_without_a_time_has_the_time_of_its_arrival(otlp: Door) -> None:
    record = {key: value for key, value in log().items() if key != "timeUnixNano"}
    await export(otlp, logs(record, log(attributes=judged("c"), timeUnixNano="0", observedTimeUnixNano="1000000000")))
    first, second = (json.loads(sent.value or b"")["at"] for sent in otlp.publisher.sent)
    assert (first, second) == ("2026-09-21T14:13:20.000Z", "1970-01-01T00:00:01.000Z")
