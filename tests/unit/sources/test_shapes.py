"""Times of tools: cut to the millisecond, with the path of a field that is no time."""

import json

import pytest
from msgspec import Raw, Struct

from sources.records import Malformed, SourceRecord, UnknownShapeError
from sources.shapes import TextTime, read, read_each


class _Record(Struct):
    at: TextTime


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-11-23T10:35:42.987999999+00:00", 1795430142987),
        ("2026-11-23T10:35:42.9999996Z", 1795430142999),
        ("2026-11-23T11:35:42.987654+01:00", 1795430142987),
        ("2026-11-23 10:35:42.987", 1795430142987),
        ("2026-11-23 10:35", 1795430100000),
        ("2026-11-23T11:35+01:00", 1795430100000),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_a_time_is_cut_to_the_millisecond(text: str, ms: int) -> None:
    assert read(json.dumps({"at": text}).encode(), _Record).at.ms == ms


@pytest.mark.parametrize("value", ["yesterday", "", "1969-12-31T23:59:59.999Z", 1795430142987, None, ["x"]])
def test_what_is_not_a_time_is_named_with_its_path(value: object) -> None:
    with pytest.raises(UnknownShapeError, match=r"\$\.at"):
        read(json.dumps({"at": value}).encode(), _Record)


def test_a_record_with_an_invalid_time_does_not_spoil_the_others() -> None:
    records = list(read_each([Raw(b'{"at": "soon"}'), Raw(b'{"at": "2026-11-23T10:35:42Z"}')], _Record))
    assert isinstance(records[0], SourceRecord)
    assert records[0].results == (
        Malformed("record 1: a time is not RFC 3339, such as 2026-11-23T10:15:00Z - at `$.at`"),
    )
    assert isinstance(records[1], _Record)
