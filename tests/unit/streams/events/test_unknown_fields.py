"""Fields that the decoder ignores are named, with the field that was probably meant."""

import json
import tracemalloc

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


@pytest.mark.parametrize("kind", Kind)
def test_no_field_has_a_name_that_is_too_long_to_be_compared(kind: Kind) -> None:
    for name in event_schema(kind)["properties"]:
        assert nearest_field(kind, f"{name}_") == name


def test_a_long_name_is_cut_and_no_name_of_a_field_is_near_it() -> None:
    name = "annotator" + "x" * 300_000
    assert unknown_fields(Kind.ANNOTATION, json.dumps({f"{name}1": 1, f"{name}2": 1}).encode()) == [name[:64]]
    assert nearest_field(Kind.ANNOTATION, name[:64]) is None


def test_the_memory_for_nearest_names_is_bounded() -> None:
    def ask(first: int, count: int) -> None:
        for number in range(first, first + count):
            nearest_field(Kind.ANNOTATION, f"{number:06}" + "\N{GRINNING FACE}" * 50_000)

    ask(0, 1)
    tracemalloc.start()
    try:
        ask(1, 50)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 50_000
