"""Reads NDJSON files of events, plain or gzipped, and standard input."""

import asyncio
import codecs
import gzip
import os
import re
import shlex
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from sources.file_formats import GZIP, GZIP_MAGIC, binary_format
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

_CSV: Final = "CSV"
_ARRAY: Final = "a JSON array"
_TABLES: Final = (_CSV, _ARRAY)
"""Formats of tables, which `eval_alignment.tables` reads."""
_CSV_HEADER: Final = re.compile(rb"""["']?[A-Za-z_][\w .-]*["']?(\s*[,;\t]\s*["']?[A-Za-z_][\w .-]*["']?)+""")


MAX_LINE_BYTES: Final = 1 << 20
"""Longest line that is kept. A longer one is cut, which makes an `oversized` event of it in any case."""
_SKIPPED_BYTES: Final = 1 << 16
"""Bytes of the rest of a longer line that are read at a time."""
_LONGEST_HEADER: Final = 10_000


class InputFormatError(EvalAlignmentError):
    """An input is not NDJSON; the message names the file, its format and what is expected."""

    exit_code = ExitCode.FAILED


class InputLine(NamedTuple):
    """A line that is not blank."""

    file: str
    number: int
    """Number of the line in its file, from 1."""
    value: bytes
    """The line without surrounding white space, of a line longer than MAX_LINE_BYTES its beginning."""

    @property
    def where(self) -> str:
        """File and line, as messages begin."""
        return f"{self.file}:{self.number}"


def size(paths: Sequence[Path]) -> int | None:
    """Size of all files in bytes, as stored; None when one is standard input."""
    return None if Path("-") in paths else sum(path.stat().st_size for path in paths)


def read_lines(paths: Sequence[Path], progress: Callable[[int], object] = lambda _: None) -> Iterator[InputLine]:
    """Yield the lines of the files in order; `-` is standard input.

    A byte order mark of UTF-8 is skipped. Calls `progress` with the number of stored bytes read so far. Raises
    InputFormatError for another format, which the first line that is not blank shows, and OSError for a file that
    cannot be read; a broken archive raises gzip.BadGzipFile (an OSError), EOFError or zlib.error.
    """
    done = 0
    for path in paths:
        if path == Path("-"):
            yield from _lines("-", sys.stdin.buffer)
            continue
        with path.open("rb") as stored:
            zipped = stored.read(2) == GZIP_MAGIC
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
    checked = False
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    number, rest, cut = 0, b"", False
    while True:
        chunk = await reader.read(1 << 16)
        *complete, rest = (rest + chunk).split(b"\n") if chunk else (rest, b"")
        if cut and complete:
            # The end of the line whose beginning was handed out.
            complete, cut = complete[1:], False
        if cut:
            rest = b""
        elif len(rest) > MAX_LINE_BYTES:
            complete.append(rest)
            rest, cut = b"", True
        for text in complete:
            number += 1
            if value := text.strip() if checked else _first("-", text, number):
                checked = True
                yield InputLine("-", number, value)
        if not chunk:
            return


def _lines(name: str, stream: IO[bytes]) -> Iterator[InputLine]:
    checked = False
    for number, line in enumerate(_bounded(stream), start=1):
        value = line.strip() if checked else _first(name, line, number)
        if value:
            checked = True
            yield InputLine(name, number, value)


def _bounded(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines; only the beginning of one that is too long."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line
        while line and not line.endswith(b"\n"):
            line = stream.readline(_SKIPPED_BYTES)


def _first(name: str, line: bytes, number: int) -> bytes:
    """The stripped first line that is not blank, without a byte order mark. Raises InputFormatError."""
    line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
    if found := _other_format(line):
        kind, advice = found
        subject = "standard input" if name == "-" else name
        if kind in _TABLES:
            path = shlex.quote(name)
            advice += (
                f"; if its rows have labels or verdicts, type `eval-alignment check {path}` to compare them, or "
                f"`eval-alignment load --columns --queue NAME {path}` to send them"
            )
        # Standard input is not unpacked, and a file is unpacked one time.
        forms = "unpacked" if kind == GZIP else "plain or gzipped"
        raise InputFormatError(f"{subject} is {kind}, expected one JSON object per line (NDJSON), {forms}{advice}")
    return line.strip()


def _other_format(line: bytes) -> tuple[str, str] | None:
    """The name of the format that a file with this first line has, and what to do; None for NDJSON or unknown."""
    text = line.strip()
    other = None
    if (binary := binary_format(line)) is not None:
        other = binary, "; use `gunzip -c`" if binary == GZIP else "; unpack or convert it first"
    elif line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"{\0", b"\0{", b"[\0", b"\0[")):
        other = "UTF-16 text", ", in UTF-8; convert it with `iconv -f UTF-16 -t UTF-8`"
    elif text.startswith(b"["):
        other = _ARRAY, "; convert events with `jq -c '.[]'`"
    elif text.startswith(b"{") and text.endswith((b"{", b"[", b",")):
        other = "JSON with line breaks inside an object", "; convert it with `jq -c .`"
    elif len(text) <= _LONGEST_HEADER and _CSV_HEADER.fullmatch(text):
        other = _CSV, ""
    return other
