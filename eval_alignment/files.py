"""Files of events: NDJSON, plain or gzipped, or standard input."""

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
    """A line that is not blank: its file's name, its number from 1, and its bytes without the line end."""

    file: str
    number: int
    value: bytes


def size(paths: Sequence[Path]) -> int | None:
    """Bytes of all files as they are stored; None when one is standard input."""
    return None if Path("-") in paths else sum(path.stat().st_size for path in paths)


def read_lines(paths: Sequence[Path], progress: Callable[[int], object] = lambda _: None) -> Iterator[InputLine]:
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


async def follow_lines(paths: Sequence[Path], progress: Callable[[int], object]) -> AsyncIterator[InputLine]:
    """The same for an event loop: it goes on while nothing comes from a pipe on standard input."""
    done = 0
    for path in paths:
        if path == Path("-") and not stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode):
            async for line in _piped():
                yield line
            continue

        def told(read: int, before: int = done) -> object:
            return progress(before + read)

        for line in read_lines([path], told):
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
