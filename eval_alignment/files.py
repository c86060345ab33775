"""Files of events: NDJSON, plain or gzipped, or standard input."""

import gzip
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

_GZIP_MAGIC = b"\x1f\x8b"


class Line(NamedTuple):
    """A line that is not blank: its file's name, its number from 1, and its bytes without the line end."""

    file: str
    number: int
    value: bytes


def size(paths: Sequence[Path]) -> int | None:
    """Bytes of all files as they are stored; None when one is standard input."""
    return None if Path("-") in paths else sum(path.stat().st_size for path in paths)


def read_lines(paths: Sequence[Path], progress: Callable[[int], object] = lambda _: None) -> Iterator[Line]:
    """The lines of the files, one after the other; `-` is standard input.

    `progress` is called with the bytes read of the stored files so far. Raises OSError for a file that cannot be
    read (gzip.BadGzipFile and EOFError among what a broken archive raises).
    """
    done = 0
    for path in paths:
        if path == Path("-"):
            yield from _lines("-", sys.stdin.buffer)
            continue
        with path.open("rb") as stored:
            zipped = stored.read(2) == _GZIP_MAGIC
            stored.seek(0)
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=stored)) if zipped else stored
            for line in _lines(str(path), stream):
                if line.number % 1000 == 0:
                    progress(done + stored.tell())
                yield line
            done += stored.tell()
            progress(done)


def _lines(name: str, stream: IO[bytes]) -> Iterator[Line]:
    for number, line in enumerate(stream, start=1):
        value = line.strip()
        if value:
            yield Line(name, number, value)
