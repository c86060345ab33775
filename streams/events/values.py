"""Values of single fields in normal form, or the reason why one is invalid."""

import codecs
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from aggregator.days import EPOCH
from aggregator.facts import (
    LATEST_AT,
    MAX_ID,
    MAX_TAG_NAME,
    MAX_TAG_VALUE,
    MAX_TAGS,
    MAX_TEXT_BYTES,
    MAX_URL_BYTES,
    TAG_NAME,
)
from aggregator.names import in_nfc
from streams.events import messages
from streams.events.fast_path import is_address
from streams.events.reasons import Reason
from streams.runtime.errors import EvalAlignmentError

CUT_MARK: Final = " …[cut]"
"""The end of a text that was cut."""

EARLIEST_INTEGER_AT: Final = 100_000_000_000
"""Earliest `at` that an event may have as an integer, in milliseconds. In seconds it is a day of the year 5138."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HIGH: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_NON_TEXT: Final = re.compile(f"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}|[\udc80-\udcff]+")
"""Half of a surrogate pair, or bytes that are not UTF-8, where no backslash is escaped."""
_HIGH_HALF: Final = re.compile(_HIGH)
_BYTES: Final = "".join(map(chr, range(0xDC80, 0xDD00)))
"""What bytes that are not UTF-8 are decoded to."""
_ESCAPE: Final = 6
"""Characters of the longest escape."""
_STEP: Final = 1 << 18
"""Bytes in which text is replaced in one step."""
_BACKSLASH: Final = r"\\"
_NO_BACKSLASH: Final = "\ud800"
"""Stands for an escaped backslash: bytes are never decoded to it."""
_FRACTION: Final = re.compile(r"(?<=:\d\d)(\.\d{1,6})\d*")
_TAG_NAME: Final = re.compile(TAG_NAME)
_LEAP_SECOND: Final = re.compile(r"(?<=:\d\d:)60")


class InvalidValueError(EvalAlignmentError):
    """Carries a rejection from a nested check to the decoder."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def replace_non_text(value: bytes, replacement: str) -> bytes:
    r"""Return JSON with every escaped half of a surrogate pair, and all bytes that are not UTF-8, replaced.

    >>> replace_non_text(rb'"\ud83d\ude00 \ud83d \\ud83d"', "?"), replace_non_text(b'"caf\xe9 \xed\xa0\x80"', "?")
    (b'"\\ud83d\\ude00 ? \\\\ud83d"', b'"caf? ?"')
    """
    # No call for each match, since an event may have a hundred thousand; and in steps, for which other threads wait.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    replaced: list[bytes] = []
    escape, begun, in_run = "", "", False
    for start in range(0, len(value) + 1, _STEP):
        text = escape + decoder.decode(value[start : start + _STEP], final=start + _STEP > len(value))
        # The first character of an escape, whose second comes in the next step.
        escape = "\\" if (len(text) - len(text.rstrip("\\"))) % 2 else ""
        text = begun + text.removesuffix(escape).replace(_BACKSLASH, _NO_BACKSLASH)
        text, begun = (text, "") if start + _STEP > len(value) else _cut(text)
        if in_run:
            text = text.lstrip(_BYTES)
        in_run = text[-1:] in _BYTES if text else in_run
        whole = _NON_TEXT.sub(replacement, text).replace(_NO_BACKSLASH, _BACKSLASH)
        replaced.append(whole.encode(errors="surrogateescape"))
    return b"".join(replaced) + escape.encode()


def _cut(text: str) -> tuple[str, str]:
    """The text up to its last escape, if that may belong to what follows it, and the rest."""
    last = text.find("\\", max(0, len(text) - 2 * _ESCAPE + 1))
    if last < 0:
        return text, ""
    if _HIGH_HALF.match(text, max(0, last - _ESCAPE)):
        last = max(0, last - _ESCAPE)
    return text[:last], text[last:]


def rfc3339(text: str) -> datetime | None:
    """Return the time of an RFC 3339 text, and the second after for a leap second; None for another text.

    >>> rfc3339("2016-12-31T23:59:60Z")
    datetime.datetime(2017, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        # More digits than microseconds are rounded, and the last moment of the year 9999 cannot be.
        short, leap = _LEAP_SECOND.subn("59", _FRACTION.sub(r"\1", text))
    try:
        time = msgspec.convert(short, datetime)
        if leap:
            time += _SECOND
            # Leap seconds are the last of a day in UTC.
            return time if time.tzinfo and (time.astimezone(UTC) - EPOCH) % _DAY < _SECOND else None
    except (msgspec.ValidationError, OverflowError):
        return None
    return time


def required(name: str, value: str | None) -> str:
    """Return the value of a required field."""
    if value is None:
        raise InvalidValueError(Reason.MISSING_FIELD, messages.absent(name))
    return value


def is_text(value: str) -> bool:
    """Whether a name or an id has only characters that it may have."""
    return (value.isascii() and value.isprintable()) or _FORBIDDEN.search(value) is None


def check(name: str, value: str, longest: int) -> None:
    """Check the length and the characters of a name or an id."""
    if not value or len(value) > longest:
        raise InvalidValueError(
            Reason.INVALID_NAME,
            f"{name} has {len(value):,} characters, expected 1 to {longest} - at `$.{name}`",
        )
    if not is_text(value):
        raise InvalidValueError(
            Reason.INVALID_NAME,
            f"{name} has control characters, half of a surrogate pair, or bytes that are not UTF-8 - at `$.{name}`",
        )


def normal(name: str, value: str, longest: int) -> str:
    """Return a name in NFC, checked."""
    value = in_nfc(value, longest)
    check(name, value, longest)
    return value


def checked_id(name: str, value: str) -> str:
    """Return a checked id, item or annotator. Ids are compared byte by byte, so they are not normalised."""
    check(name, value, MAX_ID)
    return value


def milliseconds(at: float | str) -> int:
    """Return a time in milliseconds since 1970."""
    if isinstance(at, str):
        return _since_1970(at)
    if not EARLIEST_INTEGER_AT <= at <= LATEST_AT:
        raise InvalidValueError(Reason.INVALID_FIELD, messages.wrong_unit(at))
    return whole("at", at)


def _since_1970(text: str) -> int:
    time = rfc3339(text)
    if time is None:
        raise InvalidValueError(Reason.INVALID_FIELD, messages.not_a_time("at"))
    if time.tzinfo is None:
        raise InvalidValueError(
            Reason.INVALID_FIELD,
            "at has no offset: append the offset of the local time, such as +01:00, or Z if it is UTC - at `$.at`",
        )
    at = (time - EPOCH) // _MILLISECOND
    if not 0 <= at <= LATEST_AT:
        raise InvalidValueError(Reason.INVALID_FIELD, "at is not between the years 1970 and 9999 - at `$.at`")
    return at


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


def tags(value: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return tags in the order of their names, with values in NFC. An empty object becomes None."""
    if not value:
        return None
    if len(value) > MAX_TAGS:
        detail = f"tags has {len(value):,} names, at most {MAX_TAGS} are allowed - at `$.tags`"
        raise InvalidValueError(Reason.INVALID_FIELD, detail)
    return {name: _tag(name, value[name]) for name in sorted(value)}


def _tag(name: str, value: str) -> str:
    if _TAG_NAME.fullmatch(name) is None:
        raise InvalidValueError(
            Reason.INVALID_NAME,
            f"the name of a tag is invalid, expected 1 to {MAX_TAG_NAME} of `a` to `z`, `0` to `9` and `_`, with a "
            "letter first - at `$.tags`",
        )
    return normal(f"tags.{name}", value, MAX_TAG_VALUE)
