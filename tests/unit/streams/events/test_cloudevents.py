"""CloudEvents in both modes: what their attributes fill, and which headers are read."""

import json
from typing import Any

import pytest

from aggregator.facts import Annotation, Fact, QueueItem
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.reasons import Reason

ANNOTATION = {"id": "a1", "at": 1_700_000_000_000, "queue": "support", "item": "t1", "thumbs": "up"}
BARE = {name: value for name, value in ANNOTATION.items() if name not in ("id", "at")}
WRAPPED = {
    "specversion": "1.0",
    "id": "c1",
    "time": "1970-01-01T00:00:02Z",
    "type": "annotation",
    "source": "tool",
    "data": BARE,
}
BINARY = [("ce_specversion", b"1.0"), ("ce_id", b"c1"), ("ce_time", b"1970-01-01T00:00:02Z")]
STRUCTURED = [("content-type", b"application/cloudevents+json; charset=utf-8")]
FACT = Annotation(1_700_000_000_000, "a1", "support", "t1", thumbs="up")
FILLED = Annotation(2000, "c1", "support", "t1", thumbs="up")


def decode(event: dict[str, Any], headers: list[Any]) -> Fact | Rejection:
    return Decoder().decode(Kind.ANNOTATION, json.dumps(event).encode(), b"t1", headers)


def reason_of(outcome: Fact | Rejection) -> tuple[Reason, str]:
    assert isinstance(outcome, Rejection), outcome
    return outcome.reason, outcome.detail


def test_binary_mode_fills_id_and_at() -> None:
    assert decode(BARE, BINARY) == FILLED
    assert decode(ANNOTATION, BINARY) == FACT


@pytest.mark.parametrize("headers", [STRUCTURED, [*STRUCTURED, ("ce_id", b"c2"), ("ce_time", b"1970-01-01T00:00:03Z")]])
def test_the_attributes_of_a_structured_event_hold(headers: list[tuple[str, bytes]]) -> None:
    assert decode(WRAPPED, headers) == FILLED
    assert decode({**WRAPPED, "data": ANNOTATION}, headers) == FACT


def test_headers_fill_what_a_structured_event_lacks() -> None:
    bare = {name: value for name, value in WRAPPED.items() if name not in ("id", "time")}
    assert decode(bare, [*STRUCTURED, *BINARY]) == FILLED


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"specversion": "0.3"}, Reason.UNSUPPORTED_VERSION, "CloudEvents specversion is not 1.0"),
        ({"specversion": None}, Reason.MISSING_FIELD, "specversion is missing - at `$.specversion`"),
        (
            {"time": "yesterday"},
            Reason.INVALID_FIELD,
            "expected an RFC 3339 time with an offset, such as 2026-03-02T12:00:00+01:00 - at `$.time`",
        ),
        ({"data": {**BARE, "queue": "\ud83d"}}, Reason.INVALID_NAME, "`$.queue`"),
    ],
)
def test_the_envelope_of_a_structured_event_is_checked(changes: dict[str, Any], reason: Reason, detail: str) -> None:
    outcome = reason_of(decode({**WRAPPED, **changes}, STRUCTURED))
    assert outcome[0] is reason and outcome[1].endswith(detail)


def test_a_structured_event_without_data_is_rejected() -> None:
    empty = {name: value for name, value in WRAPPED.items() if name != "data"}
    assert reason_of(decode(empty, STRUCTURED)) == (Reason.MISSING_FIELD, "data is missing - at `$.data`")


def test_free_text_around_and_in_a_structured_event_is_replaced() -> None:
    event = {**WRAPPED, "source": "\ud83d", "data": {**BARE, "explanation": "\ud83d"}}
    assert decode(event, STRUCTURED) == Annotation(2000, "c1", "support", "t1", thumbs="up", explanation="\ufffd")


def test_the_content_type_alone_determines_the_mode() -> None:
    for headers in ([], BINARY, [("content-type", b"application/json")]):
        reason, detail = reason_of(decode(WRAPPED, headers))
        assert (reason, "content-type: application/cloudevents+json" in detail) == (Reason.MISSING_FIELD, True)
    assert reason_of(decode(ANNOTATION, STRUCTURED))[0] is Reason.MISSING_FIELD


def test_another_version_in_the_headers_is_rejected() -> None:
    assert reason_of(decode(ANNOTATION, [("ce_specversion", b"0.3")]))[0] is Reason.UNSUPPORTED_VERSION


@pytest.mark.parametrize("name", ["ce_id", "ce_time", "ce_specversion", "ce_source", "CE_Type"])
def test_a_header_of_cloudevents_that_is_not_utf_8_is_named(name: str) -> None:
    expected = Reason.INVALID_FIELD, f"not UTF-8 - at header `{name.lower()}`"
    assert reason_of(decode(ANNOTATION, [*BINARY, (name, b"\xff")])) == expected
    assert reason_of(decode(WRAPPED, [*STRUCTURED, (name, b"\xff")])) == expected


def test_other_headers_are_passed_over() -> None:
    headers = [("traceparent", b"\xff"), ("content-type", b"\xff"), ("ce", None), ("\ud800", b"\xff"), ("ce_id", None)]
    assert decode(ANNOTATION, headers) == FACT


def test_the_time_in_a_header_is_rfc_3339() -> None:
    assert decode(BARE, [*BINARY, ("ce_time", b"1971-12-31T23:59:60Z")]) == Annotation(
        63_072_000_000, "c1", "support", "t1", thumbs="up"
    )
    assert reason_of(decode(ANNOTATION, [("ce_time", b"noon")])) == (
        Reason.INVALID_FIELD,
        "not an RFC 3339 time - at header `ce_time`",
    )


def test_without_a_topic_the_kind_follows_from_the_event_itself() -> None:
    decoder = Decoder()
    assert decoder.decode_line(json.dumps(BARE).encode(), BINARY) == (Kind.ANNOTATION, FILLED)
    assert decoder.decode_line(json.dumps(WRAPPED).encode(), STRUCTURED) == (Kind.ANNOTATION, FILLED)
    queue_item = {"kind": "queue_item", "queue": "support", "item": "t1"}
    wrapped = {**WRAPPED, "metric": "of the envelope", "data": queue_item}
    outcome = decoder.decode_line(json.dumps(wrapped).encode(), STRUCTURED)
    assert outcome == (Kind.QUEUE_ITEM, QueueItem(2000, "c1", "support", "t1"))


def test_without_a_topic_and_without_the_content_type_the_detail_names_it() -> None:
    outcome = Decoder().decode_line(json.dumps(WRAPPED).encode())
    assert isinstance(outcome, Rejection)
    assert (outcome.reason, "application/cloudevents+json" in outcome.detail) == (Reason.MISSING_FIELD, True)
