"""Days and times against the calendar of the standard library."""

import time
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.days import (
    DAY_MS,
    Window,
    date_of,
    day_name,
    day_number,
    day_of,
    milliseconds,
    moment,
    timestamp,
    window_start,
)
from aggregator.facts import LATEST_AT

times = st.integers(0, LATEST_AT)


@given(times)
def test_a_day_is_the_calendar_day_in_utc_whatever_the_time_of_day(at: int) -> None:
    day = time.strftime("%Y-%m-%d", time.gmtime(at // 1000)).rjust(10, "0")
    assert (day_of(at), date_of(at).isoformat()) == (day, day)


def test_a_day_ends_one_millisecond_before_midnight() -> None:
    assert [day_of(at) for at in (DAY_MS - 1, DAY_MS)] == ["1970-01-01", "1970-01-02"]


@given(times)
def test_a_days_name_and_number_are_each_others_inverse(at: int) -> None:
    number = at // DAY_MS
    assert day_number(day_name(number)) == number


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-02-30"])
def test_the_number_of_a_text_that_is_not_a_day_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        day_number(text)


@given(times)
def test_a_time_and_its_moment_are_each_others_inverse(at: int) -> None:
    assert milliseconds(moment(at)) == at


def test_fractions_of_a_millisecond_are_cut_off() -> None:
    assert milliseconds(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1999)) == 1


def test_timestamps_have_milliseconds_and_z() -> None:
    assert [timestamp(0), timestamp(1_795_428_902_007), timestamp(LATEST_AT)] == [
        "1970-01-01T00:00:00.000Z",
        "2026-11-23T10:15:02.007Z",
        "9999-12-31T23:59:59.999Z",
    ]


@pytest.mark.parametrize(
    ("window", "today", "start"),
    [
        ("7d", date(2026, 11, 23), "2026-11-17"),
        ("30d", date(2026, 3, 1), "2026-01-31"),
        ("90d", date(2024, 3, 1), "2023-12-03"),
        ("all", date(2026, 11, 23), ""),
    ],
)
def test_a_window_has_its_days_today_included(window: str, today: date, start: str) -> None:
    assert window_start(Window(window), today) == start
    if start:
        assert f"{(today - date.fromisoformat(start)).days + 1}d" == window
