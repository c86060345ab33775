"""Parameters of a request. Every function raises HTTPException 400 that names the parameter and what is wrong."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import Final, TypeVar, cast, get_args
from urllib.parse import quote, unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request

from aggregator.days import DAY_MS, Window, day_number, milliseconds
from aggregator.facts import LATEST_AT, TAG_NAME, Level
from aggregator.names import in_nfc
from aggregator.statistics.confusion import OUTCOMES, Outcome
from sinks.queries.next_items import SELECTION
from sinks.queries.search import MOST_CHARACTERS
from sinks.queries.segments import ATTRIBUTES, TAG

_DOTS: Final = re.compile(r"~*\.\.?")
"""Names that clients remove from a path, encoded or not (`.` and `..`), and names that look like their escape."""
_NAMES: Final = frozenset({
    "annotator", "by", "cost", "criterion", "cursor", "empty", "from", "judge", "level", "limit",
    "metric", "other_judge", "other_metric", "outcome", "queue", "search", "seed", "selection", "skip", "strategy",
    "tag", "to", "window",
})  # fmt: skip
"""Parameters of the API."""
_TAG: Final = re.compile(TAG_NAME)
_SELECTION: Final = re.compile(SELECTION)
_NUMBER: Final = re.compile(r"[0-9.eE+-]+")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].+)?")
"""How a time begins. Python reads more as one, such as a number of 20 digits."""
_Member = TypeVar("_Member", bound=StrEnum)
_Response = TypeVar("_Response")


def without_empty(handler: Callable[[Request], Awaitable[_Response]]) -> Callable[[Request], Awaitable[_Response]]:
    """A handler of the API, which takes no parameter without a value; the forms of the page send such."""

    async def endpoint(request: Request) -> _Response:
        for name, value in request.query_params.multi_items():
            if name in _NAMES and not value:
                raise HTTPException(400, f"{name}: empty; leave it out for its default")
        return await handler(request)

    return endpoint


def path_segment(name: str) -> str:
    """The name of a queue or the id of an item as one segment of a path: percent-encoded; `.` and `..` with `~` before.

    >>> path_segment("a/b"), path_segment(".."), path_segment("~."), path_segment("~a")
    ('a%2Fb', '~..', '~~.', '~a')
    """
    return f"~{name}" if _DOTS.fullmatch(name) else quote(name, safe="")


def queue_name(request: Request) -> str:
    """The queue in the path, as `path_segment` writes it, normalised."""
    return in_nfc(_from_path(request, "queue"))


def item_id(request: Request) -> str:
    """The item in the path, as `path_segment` writes it. Ids are exact, so it is not normalised."""
    return _from_path(request, "item")


def _from_path(request: Request, parameter: str) -> str:
    try:
        name = unquote(request.path_params[parameter], errors="strict")
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"{parameter}: the name is not percent-encoded UTF-8") from error
    return name[1:] if name.startswith("~") and _DOTS.fullmatch(name) else name


def text(request: Request, name: str) -> str | None:
    """A name, normalised; None when it is missing or, as in a form, empty."""
    return in_nfc(request.query_params.get(name, "")) or None


def member(request: Request, name: str, default: _Member) -> _Member:
    """A member of an enumeration; `default` when the parameter is missing."""
    value = request.query_params.get(name) or default
    try:
        return type(default)(value)
    except ValueError as error:
        raise HTTPException(400, f"{name}: {value!r} is not one of {', '.join(type(default))}") from error


def exact(request: Request, name: str) -> str | None:
    """A text that is not normalised, such as an annotator; None when it is missing or empty."""
    return request.query_params.get(name) or None


def level(request: Request) -> Level | None:
    """The level of items; None when the parameter is missing or empty."""
    value = request.query_params.get("level") or None
    if value is not None and value not in get_args(Level):
        raise HTTPException(400, f"level: {value!r} is not one of {', '.join(get_args(Level))}")
    return cast("Level | None", value)


def needed(request: Request, name: str) -> str:
    """A required name, normalised."""
    value = text(request, name)
    if value is None:
        raise HTTPException(400, f"{name}: required")
    return value


def window(request: Request) -> Window:
    """The window; all days when the parameter is missing."""
    return member(request, "window", Window.ALL)


def with_empty(request: Request) -> bool:
    """Whether a list has the queues in which nothing stands any more, too."""
    value = request.query_params.get("empty") or "0"
    if value not in ("0", "1"):
        raise HTTPException(400, f"empty: {value!r} is not 0 or 1")
    return value == "1"


def tag(request: Request) -> tuple[str, str] | None:
    """Name and value of a tag, from `NAME:VALUE`; None when the parameter is missing or empty."""
    value = request.query_params.get("tag")
    if not value:
        return None
    name, colon, value_of_tag = value.partition(":")
    if not (colon and value_of_tag and _TAG.fullmatch(name)):
        raise HTTPException(400, f"tag: {value!r} is not NAME:VALUE")
    return name, value_of_tag


def search(request: Request) -> str | None:
    """A search for items; None when the parameter is missing or empty."""
    value = exact(request, "search")
    if value is None:
        return None
    if len(value) > MOST_CHARACTERS:
        raise HTTPException(400, f"search: longer than {MOST_CHARACTERS} characters")
    return value


def selection(request: Request) -> str | None:
    """The items of an earlier answer; None when the parameter is missing or empty."""
    value = exact(request, "selection")
    if value is not None and not _SELECTION.fullmatch(value):
        raise HTTPException(400, "selection: not the `selection` of an answer")
    return value


def day(request: Request, name: str) -> int | None:
    """The first millisecond of a UTC day given as YYYY-MM-DD; None when the parameter is missing or empty."""
    value = request.query_params.get(name)
    if not value:
        return None
    try:
        at = day_number(value) * DAY_MS
    except ValueError as error:
        raise HTTPException(400, f"{name}: {value!r} is not a day (YYYY-MM-DD)") from error
    if not 0 <= at <= LATEST_AT:
        raise HTTPException(400, f"{name}: {value!r} is before 1970")
    return at


def outcomes(request: Request) -> list[Outcome]:
    """Outcomes, separated by commas, in the order of `OUTCOMES`; empty when the parameter is missing."""
    value = request.query_params.get("outcome")
    names = value.split(",") if value else []
    if unknown := [part for part in names if part not in OUTCOMES]:
        raise HTTPException(400, f"outcome: {unknown[0]!r} is not one of {', '.join(OUTCOMES)}")
    return [outcome for outcome in OUTCOMES if outcome in names]


def number(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    value = request.query_params.get(name)
    if not value:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 20 and least <= int(value) <= most):
        raise HTTPException(400, f"{name}: {value!r} is not a number from {least} to {most}")
    return int(value)


def division(request: Request, name: str) -> str | None:
    """What divides comparisons into segments; None when the parameter is missing."""
    value = text(request, name)
    if value is not None and value not in ATTRIBUTES and not value.startswith(TAG):
        raise HTTPException(400, f"{name}: {value!r} is not one of {', '.join(ATTRIBUTES)}, or {TAG} and a name")
    return value


def positive(request: Request, name: str, default: float) -> float:
    """A finite number above 0."""
    value = request.query_params.get(name)
    if not value:
        return default
    try:
        # Python reads `1_0` and blanks too.
        parsed = float(value) if _NUMBER.fullmatch(value) else 0.0
    except ValueError:
        parsed = 0.0
    if not (isfinite(parsed) and parsed > 0):
        raise HTTPException(400, f"{name}: {value!r} is not a number above 0")
    return parsed


def time(request: Request, name: str, default: int) -> int:
    """A time in ms since epoch, from milliseconds or RFC 3339."""
    value = request.query_params.get(name)
    if value is None:
        return default
    if value.isascii() and value.isdecimal() and len(value) < 19:
        return int(value)
    text = value.upper()
    try:
        moment = datetime.fromisoformat(text if _MOMENT.fullmatch(text) else "")
    except ValueError as error:
        raise HTTPException(400, f"{name}: {value!r} is neither RFC 3339 nor milliseconds since epoch") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return milliseconds(moment)
