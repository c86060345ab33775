"""Fields that the decoder ignores are named, with the field that was probably meant."""

import json

import pytest

from streams.events.decoder import Kind
from streams.events.schemas import event_schema
from streams.events.unknown_fields import nearest_field, unknown_fields


@pytest.mark.parametrize("kind", Kind)
def test_no_field_of_an_event_is_unknown(kind: Kind) -> None:
    event = dict.fromkeys((*event_schema(kind)["properties"], "kind"))
    assert unknown_fields(kind, json.dumps(event).encode()) == []
    assert unknown_fields(kind, json.dumps({**event, "mood": {"deep": [1]}, "": 1}).encode()) == ["mood", ""]


def test_the_unknown_fields_of_a_cloud_event_are_those_in_data() -> None:
    event = {"specversion": "1.0", "source": "tool", "traceparent": "00", "data": {"annotater": "p1"}}
    assert unknown_fields(Kind.ANNOTATION, json.dumps(event).encode()) == ["annotater"]


@pytest.mark.parametrize("value", [b"", b"[1]", b"{", b"\xff", b'{"specversion":"1.0","data":5}'])
def test_a_value_that_is_no_event_has_no_unknown_fields(value: bytes) -> None:
    assert unknown_fields(Kind.ANNOTATION, value) == []


@pytest.mark.parametrize(
    ("kind", "name", "nearest"),
    [
        (Kind.ANNOTATION, "annotater", "annotator"),
        (Kind.ANNOTATION, "criteria", "criterion"),
        (Kind.ANNOTATION, "Explanation", "explanation"),
        (Kind.EVALUATION, "thresholdd", "threshold"),
        (Kind.EVALUATION, "annotater", None),
        (Kind.QUEUE_ITEM, "session", None),
    ],
)
def test_the_nearest_field_is_one_of_the_kind(kind: Kind, name: str, nearest: str | None) -> None:
    assert nearest_field(kind, name) == nearest
