"""Reading of inputs: NDJSON in its forms, and files of other formats."""

import gzip
import json
from pathlib import Path

import pytest

from eval_alignment.files import InputFormatError, read_lines

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
