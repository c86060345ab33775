"""Formats of files by their first bytes, and the errors of reading a file."""

import gzip
import sys
import zlib
from pathlib import Path
from typing import Final

READ_ERRORS: Final = (OSError, EOFError, zlib.error)
"""What reading an input raises; the last two come from broken archives."""

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


def read_content(path: Path) -> bytes:
    """The whole file, unpacked if it is gzipped; `-` is standard input. Raises READ_ERRORS."""
    content = sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
