"""Bounds how many parts the body of a tool has. Pure.

As objects, millions of empty parts need many times the memory of their body, and all of them are made in one step,
while nobody else is served. What a tool sends does not come near these bounds. They are counted in small steps.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from starlette.exceptions import HTTPException

from sources.shapes import has_more_lines
from sources.tables import DELIMITERS
from sources.tools.otel import EVENT_BYTES

COMMAS: Final = 2_000_000
"""Most commas of JSON outside of its texts, and delimiters of a table. Real records have 30 bytes or more for each."""
BRACKETS: Final = 600_000
"""Most objects and arrays of JSON."""
NAMES: Final = 200_000
"""Most different names of fields of JSON: each is an object of its own, where those of records repeat."""
ESCAPES: Final = 8_000_000
"""Most escapes of JSON: JSON in a text of JSON has about one in ten bytes."""
LINES: Final = 500_000
"""Most lines of records or rows."""
NON_TEXT: Final = 500_000
"""Most halves of surrogate pairs and bytes that are not UTF-8."""
FIELDS: Final = 2_000_000
"""Most fields of an export request in protobuf; of its records only those that may have an evaluation count theirs."""

_SLICE: Final = 1 << 20
"""Bytes that are counted in one step: other threads wait for it."""
_IS_JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*+[{\[]")
_DELIMITERS: Final = tuple(delimiter.encode() for delimiter in DELIMITERS)
_LINE_ENDS: Final = (b"\n", b"\r")
_HALVES: Final = (b"\\ud", b"\\uD")
_BACKSLASH: Final = b"\\"
_VARINT, _DELIMITED, _GROUPS, _FIXED = 0, 2, (3, 4), {1: 8, 5: 4}
"""Wire types; the last with the bytes of their values."""
_PATH: Final = (1, 2, 2, 11)
"""Numbers of the fields of OTLP that have resources, scopes, records and, of spans, events."""
_RECORD: Final = 2
"""Index of records in it."""
_VARINT_BITS: Final = 63


def too_many_parts() -> HTTPException:
    """The answer to a body with more parts than are read."""
    return HTTPException(413, "the body has too many parts; nothing of it was sent: send fewer records per request")


def has_too_many_parts(content: bytes) -> bool:
    """Whether JSON, lines of JSON, or a table has more parts than are read."""
    if not _IS_JSON.match(content):
        # Line ends in quoted cells count too: what is quoted is not known before the delimiter.
        return any(content.count(end) > LINES for end in _LINE_ENDS) or any(
            content.count(delimiter) > COMMAS for delimiter in _DELIMITERS
        )
    if sum(map(content.count, _LINE_ENDS)) > LINES and has_more_lines(content, LINES):
        return True
    counts = _JsonCounts()
    return any(counts.add(content[start : start + _SLICE]) for start in range(0, len(content), _SLICE))


@dataclass(slots=True)
class _JsonCounts:
    """Counts the parts of JSON that comes in slices."""

    commas: int = 0
    brackets: int = 0
    non_text: int = 0
    escapes: int = 0
    names: set[int] = field(default_factory=set)
    """Hashes of the names of fields, as they are escaped. One whose slice ends before the colon is left out."""
    _in_string: int = 0
    _escape: bytes = b""
    """The backslash at the end of the last slice, if it escapes what follows."""

    def add(self, piece: bytes) -> bool:
        """Count a slice; return whether there are too many parts."""
        self.non_text += sum(map(piece.count, _HALVES))
        if not piece.isascii():
            self.non_text += len(piece) - len(piece.decode(errors="ignore").encode())
        piece = self._escape + piece
        backslashes = len(piece) - len(piece.rstrip(_BACKSLASH))
        self._escape = _BACKSLASH * (backslashes % 2)
        plain = piece.replace(_BACKSLASH * 2, b"\0").replace(b'\\"', b"\1")
        self.escapes += len(piece) - len(plain) + plain.count(_BACKSLASH)
        texts = plain.split(b'"')
        outside = b" ".join(texts[self._in_string :: 2])
        named = zip(texts[1 - self._in_string :: 2], texts[2 - self._in_string :: 2], strict=False)
        self.names.update(hash(name) for name, after in named if after.lstrip().startswith(b":"))
        self._in_string ^= (len(texts) - 1) % 2
        self.commas += outside.count(b",")
        self.brackets += outside.count(b"{") + outside.count(b"[")
        return (
            self.commas > COMMAS
            or self.brackets > BRACKETS
            or self.non_text > NON_TEXT
            or self.escapes > ESCAPES
            or len(self.names) > NAMES
        )


def has_too_many_fields(protobuf: bytes) -> bool:
    """Whether an export request in protobuf has more fields than are read. What is not protobuf has none."""
    try:
        return next(islice(_fields(protobuf, 0, len(protobuf), 0), FIELDS, None), None) is not None
    except IndexError:
        return False


def _fields(body: bytes, at: int, end: int, depth: int) -> Iterator[int]:
    """The places of the fields of a message, and of the messages in it that are on the path."""
    while at < end:
        yield at
        tag, at = _varint(body, at)
        wire_type = tag & 7
        if wire_type == _VARINT:
            at = _varint(body, at)[1]
        elif wire_type in _FIXED:
            at += _FIXED[wire_type]
        elif wire_type == _DELIMITED:
            size, at = _varint(body, at)
            after = at + size
            on_path = depth < len(_PATH) and tag >> 3 == _PATH[depth]
            if on_path and (depth != _RECORD or body.find(EVENT_BYTES, at, after) >= 0):
                yield from _fields(body, at, min(after, end), depth + 1)
            at = after
        elif wire_type not in _GROUPS:
            return


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends. Raises IndexError at the end of the body, and for one that is too long."""
    value = shift = 0
    while (byte := body[at]) & 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if shift > _VARINT_BITS:
            raise IndexError
    return value | byte << shift, at + 1
