"""Reading of inputs: NDJSON in its forms, and files of other formats."""

import asyncio
import gzip
import json
import os
import sys
import tempfile
import tracemalloc
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_alignment.files import MAX_LINE_BYTES, InputFormatError, follow_lines, read_lines

LINES = b'{"id": "a"}\n{"id": "b"}\n'


def values(path: Path, content: bytes) -> list[bytes]:
    path.write_bytes(content)
    return [line.value for line in read_lines([path])]


@pytest.mark.parametrize("content", [LINES, b"\xef\xbb\xbf" + LINES, b"\xef\xbb\xbf\n\n" + LINES, LINES.rstrip()])
def test_a_byte_order_mark_is_skipped_plain_and_gzipped(tmp_path: Path, content: bytes) -> None:
    expected = [b'{"id": "a"}', b'{"id": "b"}']
    assert values(tmp_path / "plain", content) == expected
    assert values(tmp_path / "zipped", gzip.compress(content)) == expected


def test_a_byte_order_mark_inside_a_file_is_part_of_its_line(tmp_path: Path) -> None:
    assert values(tmp_path / "f", b"{}\n\xef\xbb\xbf{}\n")[1] == b"\xef\xbb\xbf{}"


OBJECTS = [{"id": "a", "thumbs": "up"}, {"id": "b", "thumbs": "down"}]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (json.dumps(OBJECTS).encode(), "a JSON array"),
        (b"\xef\xbb\xbf" + json.dumps(OBJECTS, indent=2).encode(), "a JSON array"),
        (b"\n" + json.dumps(OBJECTS[0], indent=2).encode(), "JSON with line breaks inside an object"),
        (b'{"id": "a",\n"thumbs": "up"}\n', "JSON with line breaks inside an object"),
        (b"id,item,thumbs\na,i,up\n", "CSV"),
        (b'\xef\xbb\xbf"id";"item"\n', "CSV"),
        (b"id\titem\tthumbs\r\n", "CSV"),
        (LINES.decode().encode("utf-16"), "UTF-16 text"),
        (LINES.decode().encode("utf-16-be"), "UTF-16 text"),
        (LINES.decode().encode("utf-16-le"), "UTF-16 text"),
        (b"PK\x03\x04\x14\x00", "a zip archive"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd data"),
        (b"\xfd7zXZ\x00\x00", "xz data"),
        (b"BZh91AY", "bzip2 data"),
        (gzip.compress(b"events.ndjson".ljust(257, b"\0") + b"ustar\x0000", mtime=0), "a tar archive"),
        (b"PAR1\x15\x04", "a Parquet file"),
    ],
)
def test_another_format_is_named_in_one_message(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "events"
    with pytest.raises(InputFormatError) as raised:
        values(path, content)
    expected = f"{path} is {kind}, expected one JSON object per line (NDJSON), plain or gzipped"
    assert str(raised.value).startswith(expected)


def test_gzip_that_is_not_unpacked_is_named_with_the_command_that_does(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with pytest.raises(InputFormatError) as raised:
        values(path, gzip.compress(gzip.compress(LINES)))
    expected = f"{path} is gzip data, expected one JSON object per line (NDJSON), unpacked; use `gunzip -c`"
    assert str(raised.value) == expected


@pytest.mark.parametrize("first", [b"no JSON", b'{"id": "a"', b'{"id": 1}, {"id": 2}', b"\xff\x00"])
def test_an_invalid_first_line_alone_does_not_refuse_the_file(tmp_path: Path, first: bytes) -> None:
    assert values(tmp_path / "f", first + b"\n{}\n") == [first, b"{}"]


@pytest.mark.parametrize("zipped", [False, True])
def test_only_the_beginning_of_a_long_line_is_kept(tmp_path: Path, zipped: bool) -> None:
    content = b'{"id": "a"}\n' + b'{"x": "' + b"x" * (40 << 20) + b'"}\n{"id": "b"}\n'
    path = tmp_path / "events"
    path.write_bytes(gzip.compress(content, 1) if zipped else content)
    del content
    tracemalloc.start()
    try:
        lines = [(line.number, len(line.value)) for line in read_lines([path])]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert lines == [(1, 11), (2, MAX_LINE_BYTES + 1), (3, 11)]


@given(st.lists(st.integers(0, 40), max_size=8), st.booleans())
def test_a_limit_cuts_lines_and_no_more(lengths: list[int], ended: bool) -> None:
    lines = [b"x" * length for length in lengths]
    content = b"\n".join(lines) + b"\n" * (ended and bool(lines))
    with tempfile.TemporaryDirectory() as directory, patch("eval_alignment.files.MAX_LINE_BYTES", 20):
        got = values(Path(directory) / "events", content)
    assert got == [line[:21] for line in lines if line]


async def test_only_the_beginning_of_a_long_line_of_a_pipe_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval_alignment.files.MAX_LINE_BYTES", 100_000)
    reader, writer = os.pipe()
    long = b'"' + b"x" * 700_000

    def write() -> None:
        with os.fdopen(writer, "wb") as out:
            out.write(b"{}\n" + long + b'"\n{"id": 1}\n\n' + long)

    with os.fdopen(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        writing = asyncio.create_task(asyncio.to_thread(write))
        lines = [line async for line in follow_lines([Path("-")], lambda _: None)]
        await writing
    assert [line.number for line in lines] == [1, 2, 3, 5]
    assert lines[2].value == b'{"id": 1}'
    for line in (lines[1], lines[3]):
        assert 100_000 < len(line.value) < 200_000
        assert long.startswith(line.value)
