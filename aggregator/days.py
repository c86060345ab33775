"""Times and UTC days: all conversions between them, and the windows of days that counts are read in.

A time is an integer: milliseconds since 1970-01-01T00:00Z. A day is ISO text such as `2026-11-23` wherever it is
stored or shown, and the number of days since 1970-01-01 where it is computed with.
"""

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

DAY_MS: Final = 86_400_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY: Final = EPOCH.date()
_MILLISECOND: Final = timedelta(milliseconds=1)


class Window(StrEnum):
    """A number of UTC days that end today. A window has no upper bound: times in the future are inside."""

    DAYS_7 = "7d"
    DAYS_30 = "30d"
    DAYS_90 = "90d"
    ALL = "all"


_DAYS: Final = {Window.DAYS_7: 7, Window.DAYS_30: 30, Window.DAYS_90: 90}


def moment(at: int) -> datetime:
    """A time as a datetime in UTC. Works for every year up to 9999, unlike `datetime.fromtimestamp`."""
    return EPOCH + timedelta(milliseconds=at)


def milliseconds(moment: datetime) -> int:
    """An aware datetime as a time; fractions of a millisecond are cut off."""
    return (moment - EPOCH) // _MILLISECOND


def timestamp(at: int) -> str:
    """A time as RFC 3339 text, as documents and responses carry it.

    >>> timestamp(1_795_428_902_412)
    '2026-11-23T10:15:02.412Z'
    """
    return moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def in_words(at: int) -> str:
    """A time to the second, for messages; 0 is the start of everything.

    >>> in_words(1_795_428_902_412)
    '2026-11-23 10:15:02 UTC'
    """
    return f"{moment(at):%Y-%m-%d %H:%M:%S} UTC" if at else "the start"


def date_of(at: int) -> date:
    """The UTC day of a time, as a date."""
    return moment(at).date()


@lru_cache(maxsize=4096)
def day_name(number: int) -> str:
    """The ISO text of a day's number."""
    return (_FIRST_DAY + timedelta(days=number)).isoformat()


def day_number(day: str) -> int:
    """The number of a day given as ISO text. Raises ValueError when the text is not a day."""
    return (date.fromisoformat(day) - _FIRST_DAY).days


def day_of(at: int) -> str:
    """The UTC day of a time, as ISO text.

    >>> day_of(1_763_856_000_000 - 1)
    '2025-11-22'
    """
    return day_name(at // DAY_MS)


def first_day(today: date, days: int) -> str:
    """The first of the `days` UTC days that end with `today`, as ISO text."""
    return (today - timedelta(days=days - 1)).isoformat()


def window_start(window: Window, today: date) -> str:
    """The first UTC day of a window as ISO text, which compares with the days of tallies; empty for `Window.ALL`.

    >>> window_start(Window.DAYS_7, date(2026, 11, 23))
    '2026-11-17'
    """
    return "" if window is Window.ALL else first_day(today, _DAYS[window])
