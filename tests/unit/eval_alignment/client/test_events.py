"""Events of the client: the fields of the wire, checked at the call, and written once."""

import enum
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.facts import MAX_TEXT_BYTES, Annotation
from eval_alignment import InvalidEventError
from eval_alignment.client.events import AnnotationFields, EvaluationFields, QueueItemFields, encode
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.schemas import EVENT_TYPES, REQUIRED

FIELDS: Mapping[Kind, Any] = {
    Kind.ANNOTATION: AnnotationFields,
    Kind.EVALUATION: EvaluationFields,
    Kind.QUEUE_ITEM: QueueItemFields,
}
VALID: Mapping[Kind, dict[str, Any]] = {
    Kind.ANNOTATION: {"queue": "q", "item": "i", "thumbs": "up"},
    Kind.EVALUATION: {"item": "i", "metric": "m", "score": 0.5, "threshold": 0.4},
    Kind.QUEUE_ITEM: {"queue": "q", "item": "i"},
}


def fields(kind: Kind, **more: Any) -> dict[str, Any]:
    """The JSON of a valid event with some fields changed."""
    event: dict[str, Any] = orjson.loads(encode(kind, {**VALID[kind], **more})[1])
    return event


@pytest.mark.parametrize("kind", Kind)
def test_the_arguments_are_the_fields_of_the_wire(kind: Kind) -> None:
    assert set(FIELDS[kind].__annotations__) == set(EVENT_TYPES[kind][0].__struct_fields__)
    # The client makes `id` and `at` where the caller has none.
    assert FIELDS[kind].__required_keys__ == set(REQUIRED[kind]) - {"id", "at"}


@pytest.mark.parametrize("kind", Kind)
def test_an_event_is_a_line_of_a_file_with_its_kind(kind: Kind) -> None:
    id, line = encode(kind, VALID[kind])
    outcome = Decoder().decode_line(line)
    assert not isinstance(outcome, Rejection)
    assert (outcome[0], outcome[1].id) == (kind, id)
    assert abs(datetime.now(UTC).timestamp() * 1000 - outcome[1].at) < 60_000


def test_ids_of_later_calls_are_greater_so_that_the_later_call_wins() -> None:
    ids = [encode(Kind.QUEUE_ITEM, VALID[Kind.QUEUE_ITEM])[0] for _ in range(1_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1_000


@pytest.mark.parametrize(
    ("at", "written"),
    [
        (datetime(2026, 3, 2, 12, 0, 0, 1_999, tzinfo=UTC), "2026-03-02T12:00:00.001Z"),
        (datetime(2026, 3, 2, 13, 0, tzinfo=timezone(timedelta(hours=1))), "2026-03-02T12:00:00.000Z"),
        (datetime(1970, 1, 2, tzinfo=UTC), "1970-01-02T00:00:00.000Z"),
        (1_772_452_800_000, 1_772_452_800_000),
        ("2026-03-02T12:00:00+01:00", "2026-03-02T12:00:00+01:00"),
    ],
)
def test_a_time_is_a_datetime_milliseconds_or_text(at: datetime | int | str, written: object) -> None:
    assert fields(Kind.ANNOTATION, at=at)["at"] == written


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (Kind.ANNOTATION, {"stars": 4}, "both ratings are given"),
        (Kind.ANNOTATION, {"thumbs": None}, "no rating, expected `thumbs`"),
        (Kind.ANNOTATION, {"thumbs": None, "stars": 6}, "stars is out of range"),
        (Kind.ANNOTATION, {"queue": ""}, "invalid_name: queue has 0 characters"),
        (Kind.ANNOTATION, {"queue": None}, "missing_field: queue is missing"),
        (Kind.ANNOTATION, {"item": "\ud83d"}, "invalid_name: item has control characters"),
        (Kind.ANNOTATION, {"item": 7}, "item is an integer, expected a string in quotes"),
        (Kind.ANNOTATION, {"url": "file:///x"}, "url is not an http or https address"),
        (Kind.ANNOTATION, {"at": datetime(2026, 3, 2, 12)}, r"without a time zone: use datetime.now\(timezone.utc\)"),  # noqa: DTZ001
        (Kind.ANNOTATION, {"at": 1_772_452_800}, "at is in seconds since 1970"),
        (Kind.ANNOTATION, {"at": "yesterday"}, "at is not a time"),
        (Kind.EVALUATION, {"score": "0.8"}, "score is a string, expected a number without quotes"),
        (Kind.EVALUATION, {"score": float("nan")}, 'score is NaN, expected a number. If the .*"status": "error"'),
        (Kind.EVALUATION, {"score": None}, "no_verdict: no verdict, `passed` and `score` are missing"),
        (Kind.QUEUE_ITEM, {"tags": {"Plan": "free"}}, "invalid_name: the name of a tag is invalid"),
        (Kind.QUEUE_ITEM, {"tags": {"plan": 5}}, "invalid_field: tags"),
        (Kind.EVALUATION, {"reason": {1, 2}}, "set is not a string, number or boolean"),
    ],
)
def test_an_invalid_event_raises_at_the_call_with_the_reason(kind: Kind, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEventError, match=message) as raised:
        encode(kind, {**VALID[kind], **changes})
    assert isinstance(raised.value, ValueError)


def test_an_unknown_field_is_a_type_error_with_the_nearest_name() -> None:
    with pytest.raises(TypeError, match=r"unknown field `annotater`: did you mean `annotator`\?"):
        encode(Kind.ANNOTATION, {**VALID[Kind.ANNOTATION], "annotater": "ana"})


def test_a_threshold_may_come_from_the_settings_of_the_server() -> None:
    assert "threshold" not in fields(Kind.EVALUATION, threshold=None)


def test_long_text_is_cut_and_broken_text_is_marked_as_the_server_does() -> None:
    text = "é\ud83d" + "x" * MAX_TEXT_BYTES
    for field in ("explanation", "expected", "input", "output"):
        event = fields(Kind.ANNOTATION, **{field: text})
        assert event[field].startswith("é\ufffdx")
        assert len(event[field].encode()) <= MAX_TEXT_BYTES
    event = fields(Kind.ANNOTATION, expected="\ud83d\ude00", annotator="\u65e5\u672c")
    assert (event["expected"], event["annotator"]) == ("\U0001f600", "日本")


@given(st.text(max_size=40), st.text(st.characters(categories=["Cs", "Ll", "So"]), max_size=40))
def test_no_text_costs_a_rating(explanation: str, expected: str) -> None:
    _, line = encode(Kind.ANNOTATION, {**VALID[Kind.ANNOTATION], "explanation": explanation, "expected": expected})
    assert isinstance(Decoder().decode_value(Kind.ANNOTATION, line), Annotation)


def test_scalars_of_numpy_and_enumerations_are_values() -> None:
    class Judge(enum.StrEnum):
        NEW = "v2"

    event = fields(
        Kind.EVALUATION, score=np.float32(0.5), threshold=np.float64(0.25), passed=np.bool_(1), judge=Judge.NEW
    )
    assert [event[name] for name in ("score", "threshold", "passed", "judge")] == [0.5, 0.25, True, "v2"]
