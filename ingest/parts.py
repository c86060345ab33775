"""Bounds how many parts the body of a tool has. Pure.

As objects, millions of empty parts need many times the memory of their body, and all of them are made in one step,
while nobody else is served. What a tool sends does not come near these bounds.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from starlette.exceptions import HTTPException

from sources.tools.otel import EVENT_BYTES

COMMAS: Final = 3_000_000
"""Most commas of JSON outside of its texts. Real records have more than 20 bytes for each."""
LINES: Final = 500_000
"""Most lines that are records."""
FIELDS: Final = 2_000_000
"""Most fields of an export request in protobuf; of its records only those that may have an evaluation count theirs."""

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A text of JSON, also one without an end."""
_RECORD_END: Final = re.compile(rb"\}[ \t\r]*+\n[ \t\r\n]*+\{")
"""Between two lines that are records, not within a document that has line breaks: there a comma precedes it."""
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


def has_too_many_parts(json: bytes) -> bool:
    """Whether JSON, or lines of JSON, has more parts than are read."""
    if json.count(b"\n") > LINES and sum(1 for _ in _RECORD_END.finditer(json)) > LINES:
        return True
    return json.count(b",") > COMMAS and _STRING.sub(b"", json).count(b",") > COMMAS


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
