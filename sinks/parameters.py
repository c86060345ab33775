"""Parts of a request. Each raises HTTPException 400 that says what is wrong."""

from datetime import UTC, datetime
from math import isfinite
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request

from aggregator.state import Window


def queue_name(request: Request) -> str:
    """The queue in the path, decoded and normalised."""
    try:
        return normalize("NFC", unquote(request.path_params["queue"], errors="strict"))
    except UnicodeDecodeError as error:
        raise HTTPException(400, "the queue's name is not percent-encoded UTF-8") from error


def text(request: Request, name: str) -> str | None:
    """A name, normalised; None when it is not given."""
    value = request.query_params.get(name)
    return None if value is None else normalize("NFC", value)


def needed(request: Request, name: str) -> str:
    """A name that must be given, normalised."""
    value = text(request, name)
    if value is None:
        raise HTTPException(400, f"{name}: the name of a {name} is needed")
    return value


def window(request: Request) -> Window:
    """The window, all days unless given."""
    value = request.query_params.get("window", Window.ALL)
    try:
        return Window(value)
    except ValueError as error:
        raise HTTPException(400, f"window: {value!r} is none of {', '.join(Window)}") from error


def number(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    value: Any = request.query_params.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 20 and least <= int(value) <= most):
        raise HTTPException(400, f"{name}: {value!r} is not a number from {least} to {most}")
    return int(value)


def positive(request: Request, name: str, default: float) -> float:
    """A finite number above 0."""
    value = request.query_params.get(name)
    if value is None:
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
    return round((moment - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000)
