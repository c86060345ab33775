"""Cuts a body into the bytes of its events, without changing them."""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple, TypeVar

import msgspec
from starlette.exceptions import HTTPException

from ingest.media import STRUCTURED_TYPE, Format

_T = TypeVar("_T")
RecordHeaders = Sequence[tuple[str, bytes | None]]

_STRUCTURED: Final[RecordHeaders] = (("content-type", STRUCTURED_TYPE.encode()),)
_NO_HEADERS: Final[RecordHeaders] = ()
_ONE_EVENT: Final = (Format.BINARY, Format.STRUCTURED)
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_COMMAS: Final = 50
"""Commas per allowed event, up to which the elements of an array are cut in one step."""
_BRACKETS: Final = 500_000
"""Most brackets of an array that is cut at its brackets and commas: more would take seconds."""
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TO_MARK: Final = re.compile(rb'(?:[^"\[\]{},]++|%b)*+(["\[\]{},]?)' % _STRING, re.DOTALL)
"""Up to the next bracket or comma. A quote as mark has no end."""
_TO_BRACKET: Final = re.compile(rb'(?:[^"\[\]{}]++|%b)*+(["\[\]{}]?)' % _STRING, re.DOTALL)
"""Up to the next bracket: inside an element, commas end nothing."""
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LINE: Final = re.compile(rb"\S[^\n]*")


class Piece(NamedTuple):
    """The bytes of one event."""

    value: bytes
    line: int | None = None
    """Number of its line from 1, counting blank lines too; None if events are not lines."""
    headers: RecordHeaders = _NO_HEADERS
    """Headers of its record, which make it a CloudEvent."""


class FramedBody(NamedTuple):
    """The events of a body."""

    pieces: Sequence[Piece]
    by_line: bool
    """Whether each line is an event of its own. Otherwise the body is one JSON document."""


def frame(body: bytes, form: Format, headers: RecordHeaders, limit: int) -> FramedBody | None:
    """The events of a body; None when its format is guessed, and it begins like neither JSON nor NDJSON.

    `headers` have the attributes of a CloudEvent. Raises HTTPException: 400 for an empty body, another
    encoding than UTF-8 or an array that is no JSON, 413 for more than `limit` events.
    """
    text = body.removeprefix(codecs.BOM_UTF8).strip()
    if not text:
        raise HTTPException(400, "the body is empty, expected a JSON object, an array of objects, or one per line")
    if text.startswith(_UTF_16) or b"\0" in text[:2]:
        raise HTTPException(400, "the body is UTF-16 or UTF-32, expected UTF-8")
    if form in _ONE_EVENT:
        # In structured mode the headers of the request count for nothing, not even invalid ones.
        carried = _STRUCTURED if form is Format.STRUCTURED else headers
        return FramedBody([Piece(text, headers=carried)], by_line=False)
    if form is Format.BATCH and not text.startswith(b"["):
        raise HTTPException(400, "the body is not a batch of CloudEvents: expected a JSON array")
    if text.startswith(b"["):
        of_element = _STRUCTURED if form is Format.BATCH else _NO_HEADERS
        return FramedBody([Piece(element, headers=of_element) for element in _elements(text, limit)], by_line=False)
    if form is Format.GUESSED and not text.startswith(b"{"):
        return None
    if form is Format.NDJSON or text.startswith(b"{"):
        pieces = _lines(body.removeprefix(codecs.BOM_UTF8))
        first, second = next(pieces), next(pieces, None)
        if second is None and form is Format.NDJSON:
            return FramedBody([first], by_line=True)
        if second is not None and not _is_one_object(first, second):
            return FramedBody(_limited(chain((first, second), pieces), limit), by_line=True)
    return FramedBody([Piece(text)], by_line=False)


def _lines(body: bytes) -> Iterator[Piece]:
    number, counted = 1, 0
    for match in _LINE.finditer(body):
        number += body.count(b"\n", counted, match.start())
        counted = match.start()
        yield Piece(match[0].rstrip(), number)


def _limited(pieces: Iterable[Piece], limit: int) -> Sequence[Piece]:
    return _checked(list(islice(pieces, limit + 1)), limit)


def _is_one_object(first: Piece, second: Piece) -> bool:
    """Whether a body is one object over several lines, by the first two that are not blank."""
    return not first.value.endswith(b"}") and (
        first.value.endswith((b"{", b"[", b":")) or second.value.startswith((b'"', b"}", b"]"))
    )


def _elements(text: bytes, limit: int) -> Sequence[bytes]:
    """The elements of a JSON array. Each must still be checked: it may be no JSON."""
    # Many tiny elements would need many times the memory of the body.
    if text.count(b",") <= limit * _COMMAS:
        try:
            return _checked([bytes(element) for element in _ARRAY.decode(text)], limit)
        except (msgspec.DecodeError, RecursionError):
            # Perhaps because of one element, such as one with NaN, of which the decoder reports more.
            pass
    return _checked(_scanned(text, limit), limit)


def _scanned(text: bytes, limit: int) -> list[bytes]:
    """Cut an array at its brackets and commas; at most `limit` + 1 elements."""
    elements: list[bytes] = []
    depth = at = start = 1
    for _ in range(_BRACKETS + limit):
        mark = _next_mark(text, at, _TO_MARK if depth == 1 else _TO_BRACKET)
        at = mark.end()
        if mark[1] in (b"[", b"{"):
            depth += 1
        elif mark[1] != b",":
            depth -= 1
        if (depth == 1 and mark[1] == b",") or depth == 0:
            elements.append(text[start : at - 1].strip())
            start = at
            if len(elements) > limit:
                return elements
        if depth == 0:
            if text[at:].strip():
                raise HTTPException(400, "the body is not JSON: expected its end after the array")
            return [] if elements == [b""] else elements
    raise HTTPException(
        413, f"the array has more than {_BRACKETS:,} brackets; no event was sent: send fewer events per request"
    )


def _next_mark(text: bytes, at: int, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
    found = pattern.match(text, at)
    assert found is not None, "the pattern matches nothing too"
    if found[1] == b'"':
        raise HTTPException(400, "the body is not JSON: a string has no end")
    if not found[1]:
        raise HTTPException(400, "the body is not JSON: it is incomplete")
    return found


def _checked(pieces: Sequence[_T], limit: int) -> Sequence[_T]:
    if len(pieces) > limit:
        raise HTTPException(
            413,
            f"more than {limit:,} events (setting `ingest_events`); no event was sent: send fewer events per request",
        )
    return pieces
