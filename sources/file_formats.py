"""Formats of files by their first bytes, the errors of reading a file, and how much of one is read."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

READ_ERRORS: Final = (OSError, EOFError, zlib.error)
"""What reading an input raises; the last two come from broken archives."""

MAX_LINE_BYTES: Final = 64 << 20
"""Longest line of a file that is read as a whole, unpacked: a JSON array of 100,000 records can be one line."""
MAX_CONTENT_BYTES: Final = 1 << 30
"""Largest file that is read as a whole, unpacked."""
_CHUNK_BYTES: Final = 1 << 20

GZIP_MAGIC: Final = b"\x1f\x8b"
"""First bytes of gzip data."""
GZIP: Final = "gzip data"
"""Name of that format."""
_FORMATS: Final = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (GZIP_MAGIC, GZIP),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"BZh", "bzip2 data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x04\x22\x4d\x18", "lz4 data"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"PAR1", "a Parquet file"),
    (b"Obj\x01", "an Avro file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3\x00", "an SQLite database"),
)
"""First bytes of other formats, and their names."""
_TAR_MAGIC: Final = slice(257, 262)


def binary_format(start: bytes) -> str | None:
    """The name of the binary format that a file with these first bytes has; None for text."""
    if start[_TAR_MAGIC] == b"ustar":
        return "a tar archive"
    return next((kind for magic, kind in _FORMATS if start.startswith(magic)), None)


class OversizedInputError(EvalAlignmentError, OSError):
    """An input is larger than what is read as a whole; the message is what to do."""

    exit_code = ExitCode.FAILED


def read_content(path: Path) -> bytes:
    """The whole file, unpacked if it is gzipped; `-` is standard input.

    No more than the limits is read, however much a file unpacks to. Raises READ_ERRORS, OversizedInputError among them.
    """
    if path == Path("-"):
        return _read(sys.stdin.buffer)
    with path.open("rb") as file:
        return _read(file)


def _read(stream: IO[bytes]) -> bytes:
    chunks, total, line = [], 0, 0
    for chunk in _chunks(stream):
        total += len(chunk)
        line = len(chunk) - chunk.rfind(b"\n") - 1 if b"\n" in chunk else line + len(chunk)
        if line > MAX_LINE_BYTES:
            raise OversizedInputError(
                f"oversized: a line has more than {MAX_LINE_BYTES >> 20} MiB; of a JSON array, `jq -c '.[]'` makes a "
                "line for each record"
            )
        if total > MAX_CONTENT_BYTES:
            raise OversizedInputError(f"oversized: more than {MAX_CONTENT_BYTES >> 30} GiB unpacked; divide the file")
        chunks.append(chunk)
    return b"".join(chunks)


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    start = stream.read(_CHUNK_BYTES)
    if start.startswith(GZIP_MAGIC):
        # Any: it needs no more of a file than `read`.
        packed: Any = _Resumed(start, stream)
        unpacked = gzip.GzipFile(fileobj=packed)
        while chunk := unpacked.read(_CHUNK_BYTES):
            yield chunk
        return
    while start:
        yield start
        start = stream.read(_CHUNK_BYTES)


class _Resumed:
    """A stream, from the bytes on that were already read."""

    def __init__(self, start: bytes, stream: IO[bytes]) -> None:
        self._start = io.BytesIO(start)
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """Up to `size` more bytes; none at the end."""
        return self._start.read(size) or self._stream.read(size)
