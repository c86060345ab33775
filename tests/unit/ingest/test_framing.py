"""A body is cut into the bytes of its events."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from ingest.framing import FramedBody, _scanned, frame
from ingest.media import Format

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def framed(body: bytes, form: Format = Format.GUESSED, limit: int = 100) -> FramedBody:
    events = frame(body, form, (), limit)
    assert events is not None
    return events


@given(st.lists(VALUES), st.sampled_from([None, 1]), st.booleans())
def test_an_array_is_cut_at_its_brackets_whatever_it_has(values: list[Any], indent: int | None, escaped: bool) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=escaped).encode(errors="surrogatepass")
    pieces = _scanned(text, limit=1000)
    assert len(pieces) == len(values)
    for piece, value in zip(pieces, values, strict=True):
        assert piece == piece.strip()
        assert repr(json.loads(piece.decode(errors="surrogatepass"))) == repr(value)


@given(st.lists(VALUES, min_size=1), st.sampled_from([b"\n", b"\r\n", b"\n\n \t\n"]), st.booleans())
def test_lines_are_numbered_as_an_editor_numbers_them(values: list[Any], end: bytes, last: bool) -> None:
    texts = [json.dumps({"value": value}).encode() for value in values]
    body = end + end.join(texts) + (end if last else b"")
    events = framed(body, Format.NDJSON)
    assert events.by_line
    assert [piece.value for piece in events.pieces] == texts
    assert [body.split(b"\n")[(piece.line or 0) - 1].strip() for piece in events.pieces] == texts


@pytest.mark.parametrize(
    ("body", "by_line", "pieces"),
    [
        (b'{"a": 1}', False, 1),
        (b'{\n "a": 1\n}', False, 1),
        (b'{"a": 1,\n"b": 2}', False, 1),
        (b'{"a": {\n"b": 2}}', False, 1),
        (b'{"a": [\n{"b": 2}]}', False, 1),
        (b'{"a":\n{"b": 2}}', False, 1),
        (b'{"a": 1}\n{"a": 2}', True, 2),
        (b'{"a": 1}\n\nnonsense', True, 2),
        (b'{"a": "cut\n{"a": 2}', True, 2),
        (b'[{"a": 1},\n{"a": 2}]', False, 2),
    ],
)
@pytest.mark.parametrize("form", [Format.GUESSED, Format.JSON])
def test_an_object_over_several_lines_is_not_ndjson(body: bytes, by_line: bool, pieces: int, form: Format) -> None:
    events = framed(body, form)
    assert (events.by_line, len(events.pieces)) == (by_line, pieces)


def test_an_array_of_many_tiny_elements_is_refused_without_a_list_of_all() -> None:
    with pytest.raises(HTTPException, match="more than 3 events"):
        frame(b"[" + b"1," * 1000 + b"1]", Format.JSON, (), 3)
    assert len(_scanned(b"[" + b"1," * 1000 + b"1]", 3)) == 4


def test_blank_lines_do_not_count_as_events() -> None:
    assert len(framed(b"\n" * 100_000 + b'{"a":1}\n' + b" \n" * 100_000 + b'{"a":2}', limit=2).pieces) == 2


@pytest.mark.parametrize("text", [b'["' + rb"\"" * 100_000, b"[" * 100_000, b'["a' * 50_000, b"[[1]" + b"]" * 100_000])
def test_a_hostile_array_is_refused_in_linear_time(text: bytes) -> None:
    with pytest.raises(HTTPException, match="not JSON"):
        frame(text, Format.JSON, (), 10)


def test_what_an_element_has_between_brackets_is_skipped_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.framing._BRACKETS", 5)
    for inside in (b"[" + b"1," * 1000 + b"1]", b'{"a":"],[",' + b'"b":"}\\"{",' * 1000 + b'"c":1}'):
        assert _scanned(b"[" + inside + b",2]", 3) == [inside, b"2"]
    with pytest.raises(HTTPException, match="more than 5 brackets") as refused:
        _scanned(b"[[" + b"[]," * 10 + b"[]]]", 3)
    assert refused.value.status_code == 413
