"""Reads NDJSON files of events, plain or gzipped, and standard input."""

import asyncio
import gzip
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

_GZIP_MAGIC = b"\x1f\x8b"


class InputLine(NamedTuple):
    """A line that is not blank."""

    file: str
    number: int
    """Number of the line in its file, from 1."""
    value: bytes
    """The line without surrounding white space."""


def size(paths: Sequence[Path]) -> int | None:
    """Size of all files in bytes, as stored; None when one is standard input."""
    return None if Path("-") in paths else sum(path.stat().st_size for path in paths)


def read_lines(paths: Sequence[Path], progress: Callable[[int], object] = lambda _: None) -> Iterator[InputLine]:
    """Yield the lines of the files in order; `-` is standard input.

    Calls `progress` with the number of stored bytes read so far. Raises OSError for a file that cannot be read;
    a broken archive raises gzip.BadGzipFile (an OSError) or EOFError.
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


async def follow_lines(paths: Sequence[Path], progress: Callable[[int], object]) -> AsyncIterator[InputLine]:
    """Like `read_lines`, for an event loop: does not block it while a pipe on standard input is silent."""
    done = 0
    for path in paths:
        if path == Path("-") and not stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode):
            async for line in _piped():
                yield line
            continue

        def advance(read: int, before: int = done) -> object:
            return progress(before + read)

        for line in read_lines([path], advance):
            yield line
        done += size([path]) or 0


async def _piped() -> AsyncIterator[InputLine]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    number, rest = 0, b""
    while True:
        chunk = await reader.read(1 << 16)
        *complete, rest = (rest + chunk).split(b"\n") if chunk else (rest, b"")
        for text in complete:
            number += 1
            if value := text.strip():
                yield InputLine("-", number, value)
        if not chunk:
            return


def _lines(name: str, stream: IO[bytes]) -> Iterator[InputLine]:
    for number, line in enumerate(stream, start=1):
        value = line.strip()
        if value:
            yield InputLine(name, number, value)
