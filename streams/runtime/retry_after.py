"""The Retry-After header, for every HTTP client of the product. Pure: no I/O, no clock."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_RETRY_AFTER_S: Final = 300.0
"""A longer Retry-After is cut to this, in seconds."""


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that a server asks to wait; None if it does not ask.

    Args:
        headers: of its response; names in lower case.
        now: the current time, for a Retry-After that is a date. The server's own clock wins.
    """
    return retry_after(headers.get("retry-after"), _date(headers.get("date")) or now)


def retry_after(value: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for: 0 for a date in the past, None for an invalid value.

    >>> now = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    >>> retry_after("7", now), retry_after("Mon, 23 Nov 2026 10:00:30 GMT", now), retry_after("soon", now)
    (7.0, 30.0, None)
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    date = _date(text)
    return None if date is None else max(0.0, (date - now).total_seconds())


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
