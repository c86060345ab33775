"""Details of rejections name the path, what was found, what is expected, and the setting that helps."""

import json
from typing import Any

import pytest

from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.reasons import Reason

ANNOTATION = {"id": "a1", "at": "2026-03-02T12:00:00Z", "queue": "support", "item": "t1", "thumbs": "up"}
EVALUATION = {"id": "e1", "at": "2026-03-02T12:00:00Z", "item": "t1", "metric": "relevance", "passed": True}


def rejection(kind: Kind, value: bytes, **record: Any) -> Rejection:
    outcome = Decoder().decode(kind, value, **{"key": b"t1", **record})
    assert isinstance(outcome, Rejection), outcome
    return outcome


def detail(changes: dict[str, Any]) -> str:
    """The detail of an evaluation, or of an annotation, that differs in some fields."""
    kind, event = (Kind.ANNOTATION, ANNOTATION) if ANNOTATION.keys() & changes else (Kind.EVALUATION, EVALUATION)
    return rejection(kind, json.dumps({**event, **changes}).encode()).detail


@pytest.mark.parametrize("value", ["0.8", "ten"])
@pytest.mark.parametrize("field", ["score", "threshold"])
def test_a_number_in_quotes_is_named_a_string(field: str, value: str) -> None:
    expected = f"{field} is a string, expected a number without quotes - at `$.{field}`"
    assert detail({field: value}) == expected


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        (1, "an integer"),
        (0.5, "a number"),
        (True, "a boolean"),
        ([], "an array"),
        ({}, "an object"),
        ("UP", "an unknown value"),
        ("\U0001f44d", "an unknown value"),
    ],
)
def test_another_thumb_is_named_with_the_allowed_ones(value: object, quoted: str) -> None:
    assert detail({"thumbs": value}) == f"thumbs is {quoted}, expected `up` or `down` - at `$.thumbs`"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("queue", None),
        ("status", "`ok`, `error` or `skipped`"),
        ("direction", "`higher` or `lower`"),
        ("level", "`trace`, `span` or `thread`"),
    ],
)
def test_an_unknown_value_is_reported_with_the_allowed_ones(field: str, expected: str | None) -> None:
    if expected is None:
        assert detail({field: 7}) == f"{field} is an integer, expected a string in quotes - at `$.{field}`"
    else:
        value = json.dumps({**EVALUATION, field: "other"}).encode()
        wanted = f"{field} is an unknown value, expected {expected} - at `$.{field}`"
        assert rejection(Kind.EVALUATION, value).detail == wanted


def test_a_value_out_of_range_is_reported_with_the_range() -> None:
    assert (
        detail({"thumbs": None, "stars": 6}) == "stars is out of range, expected an integer from 1 to 5 - at `$.stars`"
    )
    value = b'{"id":"e1","at":1700000000000,"item":"t1","metric":"m","score":1e999,"threshold":1}'
    assert rejection(Kind.EVALUATION, value) == Rejection(
        Reason.INVALID_FIELD, "score is out of range, expected a number - at `$.score`"
    )


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_are_named_with_their_field(constant: str) -> None:
    value = json.dumps({**EVALUATION, "score": float(constant)}).encode()
    rejected = rejection(Kind.EVALUATION, value)
    assert rejected.reason is Reason.INVALID_FIELD
    assert rejected.detail == (
        f"score is {constant}, expected a number. If the evaluation failed, "
        'send `"status": "error"` without a score - at `$.score`'
    )
    line = Decoder().decode_line(value)
    assert line == rejected
    in_data = json.dumps({"specversion": "1.0", "data": {"threshold": float(constant)}}).encode()
    expected = f"threshold is {constant}, expected a number - at `$.data.threshold`"
    assert rejection(Kind.EVALUATION, in_data).detail == expected
    ignored = json.dumps({**EVALUATION, "secret": float(constant)}).encode()
    assert rejection(Kind.EVALUATION, ignored).detail == "NaN and infinity are not JSON - at `$`"


def test_a_score_alone_is_reported_with_the_setting_that_has_thresholds() -> None:
    assert detail({"passed": None, "score": 0.5}) == (
        "no verdict, `passed` and `threshold` are missing: send one of them, or set the metric's threshold in the "
        "setting `metrics` - at `$.threshold`"
    )
    assert detail({"passed": None}) == (
        "no verdict, `passed` and `score` are missing: "
        'send one of them, or `"status": "error"` if the evaluation failed - at `$.score`'
    )


@pytest.mark.parametrize("id", [4634343214213523454, 7.5])
def test_a_number_as_an_id_is_rejected_and_not_rounded(id: float) -> None:
    assert detail({"queue": "q", "item": id}).endswith("expected a string in quotes - at `$.item`")


def test_a_missing_field_is_named() -> None:
    assert detail({"queue": None}) == "queue is missing - at `$.queue`"
    assert detail({"thumbs": None, "rating": 5}) == (
        "no rating, expected `thumbs` (`up` or `down`) or `stars` (an integer from 1 to 5) (found `rating`) - "
        "at `$.thumbs`, `$.stars`"
    )


@pytest.mark.parametrize("at", ["2026-03-02T12:00:00", "2026-03-02 12:00:00.123456"])
def test_a_time_without_an_offset_gets_advice_for_local_times_and_for_utc(at: str) -> None:
    assert detail({"at": at}) == (
        "at has no offset: append the offset of the local time, such as +01:00, or Z if it is UTC - at `$.at`"
    )


@pytest.mark.parametrize(
    ("at", "unit", "remedy"),
    [
        (1_772_452_800, "seconds", "multiply it by 1,000"),
        (1_772_452_800.0, "seconds", "multiply it by 1,000"),
        (99_999_999_999, "seconds", "multiply it by 1,000"),
        (1_772_452_800_000_000, "microseconds", "divide it by 1,000"),
        (1_772_452_800_000_000_000, "nanoseconds", "divide it by 1,000,000"),
    ],
)
def test_a_time_in_another_unit_is_rejected_with_its_unit(at: float, unit: str, remedy: str) -> None:
    decoder = Decoder()
    for _ in range(2):
        # The second time the names are known, so the fast path decodes the event.
        decoder.decode(Kind.ANNOTATION, json.dumps(ANNOTATION | {"at": 1_772_452_800_000}).encode(), b"t1")
        value = json.dumps({**ANNOTATION, "at": at}).encode()
        expected = (
            f"at is in {unit} since 1970, expected milliseconds: {remedy}, or send an RFC 3339 string - at `$.at`"
        )
        assert decoder.decode(Kind.ANNOTATION, value, b"t1", (), 1_772_452_800_000) == Rejection(
            Reason.INVALID_FIELD, expected
        )
        assert decoder.decode_line(value) == Rejection(Reason.INVALID_FIELD, expected)


def test_a_day_is_not_a_time() -> None:
    assert detail({"at": "2026-03-02"}) == (
        "at is not a time, expected an RFC 3339 time with an offset, or milliseconds since 1970, "
        "such as 2026-03-02T12:00:00+01:00 - at `$.at`"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"[1]", "the value is an array, expected a JSON object - at `$`"),
        (b'"x"', "the value is a string, expected a JSON object - at `$`"),
        (b"", "the value is empty, expected a JSON object"),
        (b'{"id":"a1"', "the JSON is incomplete"),
        (
            b'{"specversion":"1.0"}',
            (
                "at is missing (a structured CloudEvent needs the header `content-type: application/cloudevents+json`) "
                "- at `$.at`"
            ),
        ),
    ],
)
def test_a_value_that_is_no_event_is_described(value: bytes, expected: str) -> None:
    assert rejection(Kind.ANNOTATION, value).detail == expected


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (None, "the record has no key, expected the bytes of `item`"),
        (b"", "the key is empty, expected the bytes of `item`"),
        (b'"t1"', "the key is in quotes, expected the bytes of `item` without them"),
        (
            b"\x00\x00\x00\x00\x01\x04t1",
            "the key begins with the framing of a schema registry, expected the bytes of `item` without it",
        ),
        (b"T1", "the key is another text, expected the bytes of `item`"),
        (b"\xff", "the key is another text, expected the bytes of `item`"),
    ],
)
def test_a_key_that_is_not_the_item_is_described(key: bytes | None, problem: str) -> None:
    found = rejection(Kind.ANNOTATION, json.dumps(ANNOTATION).encode(), key=key)
    assert found == Rejection(Reason.KEY_MISMATCH, f"{problem} - at `$.item`")


def test_a_value_in_the_framing_of_a_schema_registry_is_named() -> None:
    value = b"\x00\x00\x00\x00\x07" + json.dumps(ANNOTATION).encode()
    assert rejection(Kind.ANNOTATION, value) == Rejection(
        Reason.MALFORMED,
        "the value begins with the framing of a schema registry (a zero byte and a schema id of 4 bytes), "
        "expected JSON without it",
    )


def test_events_without_line_ends_are_told_how_curl_keeps_them() -> None:
    found = Decoder().decode_line(json.dumps(ANNOTATION).encode() * 2)
    assert found == Rejection(
        Reason.MALFORMED,
        "more text follows the JSON, expected one event per line or record; `curl -d` removes line ends, "
        "`curl --data-binary` keeps them",
    )


def test_an_object_around_events_is_told_to_send_the_array() -> None:
    found = Decoder().decode_line(json.dumps({"events": [ANNOTATION]}, indent=1).encode())
    assert found == Rejection(
        Reason.MISSING_FIELD,
        "the object has the events in an array, expected the array itself, or one event per line - at `$`",
    )


def test_a_line_without_a_kind_is_told_the_kind_of_a_queue_item() -> None:
    neither = "neither metric, thumbs, stars, criterion nor annotator"
    line = Decoder().decode_line(b'{"id":"q1","at":1700000000000,"queue":"q","item":"t1"}')
    assert line == Rejection(
        Reason.MISSING_FIELD, f'{neither}; `"kind": "queue_item"` makes it a queue item - at `$.kind`'
    )
    similar = Decoder().decode_line(b'{"id":"a","at":1700000000000,"item":"i","rating":5,"secret":"\xff"}')
    assert similar == Rejection(Reason.MISSING_FIELD, f"{neither} (found `rating`) - at `$.kind`")
    unknown = Decoder().decode_line(b'{"kind":"queue-item","id":"q1","at":1700000000000,"queue":"q","item":"t1"}')
    assert unknown == Rejection(
        Reason.INVALID_FIELD,
        "kind is an unknown value, expected `annotation`, `evaluation` or `queue_item` - at `$.kind`",
    )


def test_a_time_in_the_future_is_reported_in_days_with_the_setting_that_limits_it() -> None:
    event = b'{"id":"a","at":"2027-01-01T00:00:00Z","queue":"q","item":"t1","thumbs":"up"}'
    assert rejection(Kind.ANNOTATION, event, timestamp=1_767_225_600_000).detail == (
        "at is 365 days ahead of the record's timestamp, 5 minutes are allowed (setting `future_limit_ms`) - at `$.at`"
    )
