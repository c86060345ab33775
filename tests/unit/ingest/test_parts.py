"""Bodies of tools with millions of parts are refused before they are read."""

import json

import pytest
from starlette.exceptions import HTTPException

from ingest import parts
from ingest.otlp import Encoding, ExportContent, read_export
from ingest.parts import has_too_many_fields, has_too_many_parts
from sources.tools.otel import EVENT_BYTES
from tests.support.otlp import as_protobuf, log, logs
from tests.support.sources import RECEIVED, tool_source

LIMIT = 100


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COMMAS", "BRACKETS", "LINES", "FIELDS"):
        monkeypatch.setattr(parts, name, LIMIT)
    monkeypatch.setattr(parts, "NON_TEXT", 10 * LIMIT)
    monkeypatch.setattr(parts, "ESCAPES", 5_000_000)
    monkeypatch.setattr(parts, "NAMES", LIMIT // 2)


def field(number: int, content: bytes) -> bytes:
    """A field of protobuf."""
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


@pytest.mark.parametrize("element", ["true", "0", '""', "null"])
def test_json_has_too_many_parts_above_its_limit(element: str) -> None:
    assert not has_too_many_parts(b"[" + b",".join([element.encode()] * (LIMIT + 1)) + b"]")
    assert has_too_many_parts(b"[" + b",".join([element.encode()] * (LIMIT + 2)) + b"]")


@pytest.mark.parametrize("text", ["," * 1000, '",' * 1000, "\\," * 1000, "\n,}\n{" * 1000])
def test_commas_and_lines_of_a_text_are_no_parts(text: str) -> None:
    assert not has_too_many_parts(json.dumps({"text": text}).encode())


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_json_has_too_many_objects_and_arrays_above_its_limit(brackets: tuple[str, str]) -> None:
    """They need no comma: each of them can have another."""
    opening, closing = brackets
    assert not has_too_many_parts((opening * LIMIT + '"[{"' + closing * LIMIT).encode())
    assert has_too_many_parts((" " * 2_000_000 + opening * (LIMIT + 1) + "1" + closing * (LIMIT + 1)).encode())


@pytest.mark.parametrize(
    "name", ["k%d", '\\"' * 3 + "%d", "\\\\" * 3 + "%d", "%d" + "\\\\", "\\u00e9%d", "é%d", ":%d{,"]
)
@pytest.mark.parametrize("space", ["", " \n"])
def test_json_has_too_many_different_names_above_its_limit(name: str, space: str) -> None:
    def named(count: int) -> bytes:
        fields = [f'"{name % number}"{space}:{{"same":"a:b"}}' for number in range(count - 1)]
        return ("{" + ",".join(fields) + "}").encode()

    assert not has_too_many_parts(named(LIMIT // 2))
    assert has_too_many_parts(named(LIMIT // 2 + 1))
    assert not has_too_many_parts(b"[" + named(LIMIT // 2) + b"," + named(LIMIT // 2 - 1) + b"]")


def test_names_of_escapes_alone_are_different() -> None:
    """Without what is escaped, all of them would be the same."""
    names = [rf"{number:b}".replace("0", r"\\").replace("1", r"\"") for number in range(1, LIMIT // 2 + 2)]
    assert has_too_many_parts(("{" + ",".join(f'"{name}":0' for name in names) + "}").encode())


@pytest.mark.parametrize("escape", [rb"\n", rb"\\", rb"\"", rb"\u0041"])
def test_json_has_too_many_escapes_above_its_limit(escape: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ESCAPES", LIMIT)
    assert not has_too_many_parts(b'["' + escape * LIMIT + b'"]')
    assert has_too_many_parts(b'["' + escape * (LIMIT + 1) + b'"]')


@pytest.mark.parametrize("non_text", [rb"\ud83d", rb"\uDE00", b"\xff", b"\xc3"])
def test_json_has_too_much_that_is_not_text_above_its_limit(non_text: bytes) -> None:
    assert not has_too_many_parts(b'"%b"' % (b"." + non_text) * 10 * LIMIT)
    assert has_too_many_parts(b'["%b"]' % ((b"." + non_text) * (10 * LIMIT + 1)))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
@pytest.mark.parametrize("text", ["", "x", '"', "\\", '\\"', '\\\\"', "\\\\\\", "é,", "[{"])
def test_json_is_counted_alike_in_slices_of_any_size(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_SLICE", size)
    values = ",".join([json.dumps(text, ensure_ascii=False)] * (LIMIT + 1))
    assert not has_too_many_parts(f"[{values}]".encode())
    assert has_too_many_parts(f"[{values},1]".encode())


@pytest.mark.parametrize("delimiter", [b",", b";", b"\t", b"|"])
def test_a_table_has_too_many_parts_above_its_limits(delimiter: bytes) -> None:
    assert not has_too_many_parts(b"id\r\n" * LIMIT)
    assert has_too_many_parts(b"id\r\n" * (LIMIT + 1))
    assert has_too_many_parts(b"id\r" * (LIMIT + 1))
    assert not has_too_many_parts(b"id" + delimiter * LIMIT)
    assert has_too_many_parts(b"id" + delimiter * (LIMIT + 1))


def test_a_text_without_an_end_is_read_once() -> None:
    """Quadratic time would take hours."""
    assert not has_too_many_parts(b'{"a":"' + b'\\"' * 2_000_000 + b"," * 2_000_000)
    assert not has_too_many_parts(b'{"a":"' + b"," * 2_000_000 + b"\\")


def test_lines_that_are_records_are_counted_and_those_of_a_document_are_not() -> None:
    assert has_too_many_parts(b"{}\r\n" * (LIMIT + 3))
    assert has_too_many_parts(b"{} \n \n" * (LIMIT + 3))
    assert has_too_many_parts(b"{}\r" * (LIMIT + 3))
    assert has_too_many_parts(b"{}\n" + b"x\n" * (LIMIT + 3))
    assert not has_too_many_parts(b"{}\n" * LIMIT)
    assert not has_too_many_parts(json.dumps({"a": list(range(LIMIT))}, indent=1).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x00" * (LIMIT + 1),
        b"\x0b\x0c" + b"\x0a\x00" * (LIMIT + 1),
        b"\x10\x01\x19" + bytes(8) + b"\x25" + bytes(4) + b"\x0a\x00" * LIMIT,
        field(1, b"\x12\x00" * LIMIT),
        field(1, field(2, b"\x12\x00" * LIMIT)),
        field(1, field(2, field(2, field(6, EVENT_BYTES) + b"\x32\x00" * LIMIT))),
        field(1, field(2, field(2, field(11, field(2, EVENT_BYTES) + b"\x1a\x00" * LIMIT)))),
    ],
)
def test_protobuf_has_too_many_fields_above_its_limit(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_too_many_fields(body)
    monkeypatch.setattr(parts, "FIELDS", 2 * LIMIT)
    assert not has_too_many_fields(body)


def test_fields_of_records_without_an_evaluation_are_not_counted() -> None:
    assert not has_too_many_fields(field(1, field(2, field(2, b"\x32\x00" * 2 * LIMIT))))


@pytest.mark.parametrize("body", [b"", b"\x0a", b"\xff" * 20, b"\x0e" * 200, b"\x0a\xff\xff\xff\xff\x0f"])
def test_what_is_no_protobuf_is_judged_by_its_decoder(body: bytes) -> None:
    assert not has_too_many_fields(body)


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_an_export_with_too_many_parts_is_refused(encoding: Encoding) -> None:
    request = logs(*[log() for _ in range(LIMIT)])
    body = json.dumps(request).encode() if encoding == "json" else as_protobuf(request)
    with pytest.raises(HTTPException) as refused:
        read_export(ExportContent(body, "logs", encoding), tool_source("otel"), RECEIVED, None)
    assert refused.value.status_code == 413
