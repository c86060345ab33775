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


def test_a_name_that_is_not_text_is_unknown() -> None:
    assert unknown_fields(Kind.ANNOTATION, b'{"id":"a","mood\xff":1}') == ["mood\ufffd"]


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
