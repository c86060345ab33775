"""Reading of payloads: JSON into structs, times into milliseconds, paths into values."""

import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC
from itertools import islice
from typing import Any, Final, TypeVar, final, overload

import msgspec

from aggregator.days import EPOCH
from aggregator.facts import LATEST_AT
from sources.records import Malformed, SourceRecord, UnknownShapeError
from streams.events.values import replace_non_text, rfc3339

Document = bytes | msgspec.Raw
Shape = TypeVar("Shape")
Shape2 = TypeVar("Shape2")
Shape3 = TypeVar("Shape3")

_MILLISECONDS: Final = re.compile(r"(?<=[:\d]\d\.\d{3})\d+")
"""Digits of a fraction that are finer than milliseconds: they are cut, never rounded."""
_LINE: Final = re.compile(rb"\S[^\r\n]*+")
"""A line that is not blank, from its first character."""
_NO_SECONDS: Final = re.compile(r"(?<=\d[Tt ]\d\d:\d\d)(?=$|[Zz+-])")
"""Where the seconds of a time belong that has none, as spreadsheets write it."""


@final
class TextTime:
    """A time that a tool writes as text, for a field of a shape; without a zone it is UTC."""

    __slots__ = ("ms",)

    def __init__(self, text: str) -> None:
        self.ms: Final = milliseconds(text)


def _field(kind: type[Any], value: Any) -> TextTime:
    """The value of a field of a type that msgspec does not know. Its errors get the path of the field."""
    if kind is not TextTime:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise TypeError("a time is not text")
    try:
        return TextTime(value)
    except UnknownShapeError as error:
        raise ValueError(str(error)) from None


def documents(content: bytes) -> list[bytes]:
    r"""The JSON documents of a file or body: one, or one per line.

    >>> documents(b'{"a": 1}\n{"a": 2}\n'), documents(b'[\n1]')
    ([b'{"a": 1}', b'{"a": 2}'], [b'[\n1]'])
    """
    content = content.removeprefix(b"\xef\xbb\xbf").strip()
    try:
        msgspec.json.decode(content, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if has_more_lines(content, 1):
            return [line[0].rstrip() for line in _LINE.finditer(content)]
    return [content]


def has_more_lines(content: bytes, limit: int) -> bool:
    """Whether content has more documents than this, one per line. Blank lines do not count."""
    first = _LINE.search(content)
    if first is None or not first[0].startswith(b"{") or not first[0].rstrip().endswith(b"}"):
        return False
    return next(islice(_LINE.finditer(content), limit, None), None) is not None


@overload
def read(document: Document, shape: type[Shape], /) -> Shape: ...


@overload
def read(document: Document, one: type[Shape], other: type[Shape2], /) -> Shape | Shape2: ...


@overload
def read(
    document: Document, one: type[Shape], two: type[Shape2], three: type[Shape3], /
) -> Shape | Shape2 | Shape3: ...


def read(document: Document, *shapes: type[Any]) -> Any:
    """The document in the first of the shapes that it has. Raises UnknownShapeError."""
    document, problems = bytes(document), []
    for shape in shapes:
        try:
            return msgspec.json.decode(document, type=shape, dec_hook=_field)
        except msgspec.ValidationError as error:
            problems.append(str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # Free text may hold what is not text.
            if (text := replace_non_text(document, "\ufffd")) != document:
                return read(text, *shapes)
            raise UnknownShapeError(f"not JSON: {error}") from None
    # The shape that fits best fails at the deepest path.
    raise UnknownShapeError(max(problems, key=lambda problem: problem.count(".") + problem.count("[")))


@overload
def read_each(raws: Iterable[msgspec.Raw], shape: type[Shape], /) -> Iterator[Shape | SourceRecord]: ...


@overload
def read_each(
    raws: Iterable[msgspec.Raw], one: type[Shape], other: type[Shape2], /
) -> Iterator[Shape | Shape2 | SourceRecord]: ...


def read_each(raws: Iterable[msgspec.Raw], *shapes: type[Any]) -> Iterator[Any]:
    """The records of a list. One that has none of the shapes is a malformed `SourceRecord`."""
    for number, raw in enumerate(raws, start=1):
        try:
            yield read(raw, *shapes)
        except UnknownShapeError as error:
            yield SourceRecord("", (Malformed(f"record {number}: {error}", bytes(raw)),))


def milliseconds(text: str) -> int:
    """A time of a tool in milliseconds since 1970; without a zone it is UTC. Raises UnknownShapeError.

    >>> milliseconds("2026-11-23 13:02:11.204999"), milliseconds("2026-11-23T11:15+01:00")
    (1795438931204, 1795428900000)
    """
    time = rfc3339(_NO_SECONDS.sub(":00", _MILLISECONDS.sub("", text.strip())))
    if time is None:
        raise UnknownShapeError("a time is not RFC 3339, such as 2026-11-23T10:15:00Z")
    since = (time if time.tzinfo is not None else time.replace(tzinfo=UTC)) - EPOCH
    at = since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
    if not 0 <= at <= LATEST_AT:
        raise UnknownShapeError("a time is not between the years 1970 and 9999")
    return at


def finite(value: Any) -> float | None:
    """The number, also of a text; None for anything else, and for NaN and infinity.

    >>> finite("1795428900"), finite("NaN"), finite(True), finite(None)
    (1795428900.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def number_text(number: float) -> str:
    """A finite number as a label or an id has it.

    >>> number_text(4.0), number_text(0.5), number_text(2**60 + 1)
    ('4', '0.5', '1152921504606846977')
    """
    if isinstance(number, int):
        return str(number)
    return f"{number:.0f}" if number.is_integer() else repr(number)


def value_at(data: Any, path: str) -> Any:
    """The value at a path such as `output.score`; None where the path leads nowhere."""
    for name in path.split("."):
        data = data.get(name) if isinstance(data, dict) else None
    return data


def at_path(data: Any, path: str | None) -> str | None:
    """The text, or the number as text, at a path such as `metadata.trace_id`; None for anything else.

    >>> at_path({"metadata": {"id": 7}}, "metadata.id"), at_path({"metadata": {"id": 7}}, "metadata")
    ('7', None)
    """
    data = value_at(data, path or "")
    if isinstance(data, str):
        return data or None
    return str(data) if isinstance(data, int | float) and not isinstance(data, bool) else None
