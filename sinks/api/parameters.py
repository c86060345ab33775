"""Parts of a request. Each raises HTTPException 400 that says what is wrong."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import Final, TypeVar
from unicodedata import normalize
from urllib.parse import quote, unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request

from aggregator.days import Window, milliseconds
from aggregator.statistics.confusion import OUTCOMES, Outcome

_DOTS: Final = re.compile(r"~*\.\.?")
"""Names that no client sends as they are (browsers take `.` and `..` away, encoded too), and those that look like
their escape.
"""
_Member = TypeVar("_Member", bound=StrEnum)


def queue_segment(queue: str) -> str:
    """A queue's name as one segment of a path: percent-encoded; `.` and `..` with `~` in front.

    >>> queue_segment("a/b"), queue_segment(".."), queue_segment("~."), queue_segment("~a")
    ('a%2Fb', '~..', '~~.', '~a')
    """
    return f"~{queue}" if _DOTS.fullmatch(queue) else quote(queue, safe="")


def queue_name(request: Request) -> str:
    """The queue in the path, as `queue_segment` writes it, normalised."""
    try:
        name = normalize("NFC", unquote(request.path_params["queue"], errors="strict"))
    except UnicodeDecodeError as error:
        raise HTTPException(400, "the queue's name is not percent-encoded UTF-8") from error
    return name[1:] if name.startswith("~") and _DOTS.fullmatch(name) else name


def text(request: Request, name: str) -> str | None:
    """A name, normalised; None when it is not given or, as in a form, left empty."""
    return normalize("NFC", request.query_params.get(name, "")) or None


def member(request: Request, name: str, default: _Member) -> _Member:
    """One of the values that an enumeration has, that of `default` unless given."""
    value = request.query_params.get(name) or default
    try:
        return type(default)(value)
    except ValueError as error:
        raise HTTPException(400, f"{name}: {value!r} is none of {', '.join(type(default))}") from error


def needed(request: Request, name: str) -> str:
    """A name that must be given, normalised."""
    value = text(request, name)
    if value is None:
        raise HTTPException(400, f"{name}: the name of a {name} is needed")
    return value


def window(request: Request) -> Window:
    """The window, all days unless given."""
    return member(request, "window", Window.ALL)


def outcomes(request: Request) -> list[Outcome]:
    """Outcomes, separated by commas, in their usual order; empty when none is given."""
    said = [part for part in request.query_params.get("outcome", "").split(",") if part]
    if unknown := [part for part in said if part not in OUTCOMES]:
        raise HTTPException(400, f"outcome: {unknown[0]!r} is none of {', '.join(OUTCOMES)}")
    return [outcome for outcome in OUTCOMES if outcome in said]


def number(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    value = request.query_params.get(name)
    if not value:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 20 and least <= int(value) <= most):
        raise HTTPException(400, f"{name}: {value!r} is not a number from {least} to {most}")
    return int(value)


def positive(request: Request, name: str, default: float) -> float:
    """A finite number above 0."""
    value = request.query_params.get(name)
    if not value:
        return default
    try:
        given = float(value)
    except ValueError:
        given = 0.0
    if not (isfinite(given) and given > 0):
        raise HTTPException(400, f"{name}: {value!r} is not a number above 0")
    return given


def time(request: Request, name: str, default: int) -> int:
    """A time in ms since epoch, given so or as RFC 3339."""
    value = request.query_params.get(name)
    if value is None:
        return default
    if value.isascii() and value.isdecimal() and len(value) < 19:
        return int(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise HTTPException(400, f"{name}: {value!r} is neither RFC 3339 nor milliseconds since epoch") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return milliseconds(moment)
