"""Values of single fields in normal form, or the reason why one is invalid."""

import re
from datetime import datetime, timedelta
from typing import Final

from aggregator.days import EPOCH
from aggregator.facts import LATEST_AT, MAX_ID, MAX_TEXT_BYTES, MAX_URL_BYTES
from streams.events import messages
from streams.events.fast_path import is_address
from streams.events.reasons import Reason
from streams.runtime.errors import EvalAlignmentError

CUT_MARK: Final = " …[cut]"
"""The end of a text that was cut."""

EARLIEST_INTEGER_AT: Final = 100_000_000_000
"""Earliest `at` that an event may have as an integer, in milliseconds. In seconds it is a day of the year 5138."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.", re.DOTALL
)
"""An escape in JSON: a whole surrogate pair (12 bytes), half of one (6 bytes), or the start of any other (2 bytes)."""
_HALF_PAIR: Final = len(rb"\ud83d")


class InvalidValueError(EvalAlignmentError):
    """Carries a rejection from a nested check to the decoder."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def replace_half_pairs(value: bytes, replacement: bytes) -> bytes:
    r"""Return JSON with every escaped half of a surrogate pair replaced.

    >>> replace_half_pairs(rb'"\ud83d\ude00 \ud83d \\ud83d"', rb"\ufffd")
    b'"\\ud83d\\ude00 \\ufffd \\\\ud83d"'
    """
    return _ESCAPE.sub(lambda escape: replacement if len(escape[0]) == _HALF_PAIR else escape[0], value)


def required(name: str, value: str | None) -> str:
    """Return the value of a required field."""
    if value is None:
        raise InvalidValueError(Reason.MISSING_FIELD, messages.absent(name))
    return value


def check(name: str, value: str, longest: int) -> None:
    """Check the length and the characters of a name or an id."""
    if not value or len(value) > longest:
        raise InvalidValueError(
            Reason.INVALID_NAME,
            f"{name} has {len(value):,} characters, expected 1 to {longest} - at `$.{name}`",
        )
    if not (value.isascii() and value.isprintable()) and _FORBIDDEN.search(value):
        raise InvalidValueError(
            Reason.INVALID_NAME, f"{name} has control characters or half of a surrogate pair - at `$.{name}`"
        )


def checked_id(name: str, value: str) -> str:
    """Return a checked id, item or annotator. Ids are compared byte by byte, so they are not normalised."""
    check(name, value, MAX_ID)
    return value


def milliseconds(at: float | datetime) -> int:
    """Return a time in milliseconds since 1970."""
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise InvalidValueError(
                Reason.INVALID_FIELD,
                "at has no offset: append the offset of the local time, such as +01:00, or Z if it is UTC - at `$.at`",
            )
        at = (at - EPOCH) // _MILLISECOND
        if not 0 <= at <= LATEST_AT:
            raise InvalidValueError(Reason.INVALID_FIELD, "at is not between the years 1970 and 9999 - at `$.at`")
        return at
    if not EARLIEST_INTEGER_AT <= at <= LATEST_AT:
        raise InvalidValueError(Reason.INVALID_FIELD, messages.wrong_unit(at))
    return whole("at", at)


def stars(value: float | None) -> int | None:
    """Return a rating of 1 to 5."""
    if value is None:
        return None
    if not 1 <= value <= 5:
        detail = "stars is out of range, expected an integer from 1 to 5 - at `$.stars`"
        raise InvalidValueError(Reason.INVALID_FIELD, detail)
    return whole("stars", value)


def whole(name: str, value: float) -> int:
    """Return a number of JSON as an integer: `4.0` is 4."""
    if value != int(value):
        raise InvalidValueError(Reason.INVALID_FIELD, f"{name} has a fraction, expected an integer - at `$.{name}`")
    return int(value)


def number(value: float | None) -> float | None:
    """Replace a negative zero, which not every store keeps."""
    return None if value is None else value + 0.0


def text(value: str | None) -> str | None:
    """Cut free text at `MAX_TEXT_BYTES` bytes of UTF-8, including a mark. Empty text becomes None."""
    if not value:
        return None
    if len(value) * 4 > MAX_TEXT_BYTES:
        encoded = value.encode()
        if len(encoded) > MAX_TEXT_BYTES:
            return encoded[: MAX_TEXT_BYTES - len(CUT_MARK.encode())].decode(errors="ignore") + CUT_MARK
    return value


def url(value: str | None) -> str | None:
    """Return an http or https address. An empty one becomes None."""
    if not value:
        return None
    if not is_address(value):
        raise InvalidValueError(
            Reason.INVALID_FIELD,
            f"url is not an http or https address of at most {MAX_URL_BYTES:,} bytes - at `$.url`",
        )
    return value
