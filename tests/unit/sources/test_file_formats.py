"""Reading of whole files within bounds."""

import gzip
import io
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest

from sources import file_formats
from sources.file_formats import OversizedInputError, read_content

CONTENT = b"item,label\n1,up\n"


MEMBERS = gzip.compress(CONTENT[:5]) + gzip.compress(CONTENT[5:])


@pytest.mark.parametrize("packed", [CONTENT, gzip.compress(CONTENT), MEMBERS], ids=["plain", "gzip", "several members"])
def test_a_file_and_standard_input_are_read_plain_and_gzipped(
    packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(packed)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(packed)))
    assert read_content(tmp_path / "file") == read_content(Path("-")) == CONTENT


def test_a_broken_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(CONTENT)[:-9])
    with pytest.raises(EOFError):
        read_content(tmp_path / "file")


def test_a_file_longer_than_a_chunk_is_read_as_it_is(tmp_path: Path) -> None:
    content = b"".join(b"%d,up\n" % number for number in range(400_000))
    (tmp_path / "file").write_bytes(gzip.compress(content, 1))
    assert read_content(tmp_path / "file") == content


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """A small file that unpacks to a line of 256 MiB."""
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        for _ in range(256):
            out.write(b"x" * (1 << 20))
    return path


def test_a_long_line_is_refused_before_it_is_in_memory(bomb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_formats, "MAX_LINE_BYTES", 4 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(OversizedInputError, match="oversized: a line has more than 4 MiB"):
            read_content(bomb)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_many_lines_are_refused_above_the_size_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_formats, "MAX_CONTENT_BYTES", 1 << 20)
    (tmp_path / "file").write_bytes(gzip.compress(b"a,b\n" * (1 << 19), 1))
    with pytest.raises(OversizedInputError, match="oversized: more than"):
        read_content(tmp_path / "file")
