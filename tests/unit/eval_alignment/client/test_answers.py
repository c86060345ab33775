"""What a response means: decided, too large, later, or a configuration that has to change."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_alignment.client.answers import (
    Decided,
    DeliveryOutcome,
    Postponed,
    Refused,
    TooLarge,
    read_answer,
)
from streams.runtime.retry_after import LONGEST_RETRY_AFTER_S, retry_after

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def answer(status: int, body: object = b"", *, events: int = 2, **headers: str) -> DeliveryOutcome:
    """The outcome of a response; header names with underscores."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_answer(status, names, content, events=events, now=NOW)


@pytest.mark.parametrize("status", [200, 207, 422])
def test_the_body_decides_about_every_event_whatever_the_status(status: int) -> None:
    body = {
        "accepted": 1,
        "rejected": [{"index": 1, "id": "e2", "reason": "invalid_field", "detail": "score is ..."}],
        "warnings": [{"index": 0, "id": "e1", "message": "unknown field"}],
    }
    outcome = answer(status, body)
    assert isinstance(outcome, Decided)
    assert [(entry.index, entry.reason, entry.detail) for entry in outcome.rejected] == [
        (1, "invalid_field", "score is ...")
    ]
    assert [(entry.index, entry.message) for entry in outcome.warnings] == [(0, "unknown field")]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>please sign in</html>",
        b"",
        b"[]",
        b"[" * 100_000,
        {"status": "ok"},
        {"accepted": 1},
        {"accepted": 3},
        {"accepted": 1, "rejected": [{"index": 2, "reason": "malformed"}]},
        {"accepted": 1, "rejected": [{"index": -1, "reason": "malformed"}]},
        {"accepted": 0, "rejected": [{"index": 0, "reason": "malformed"}, {"index": 0, "reason": "malformed"}]},
        {"accepted": 2, "warnings": [{"index": 2, "message": "beyond"}]},
        {"accepted": "2"},
    ],
)
def test_a_success_that_does_not_decide_about_every_event_acknowledges_nothing(body: Any) -> None:
    for status in (200, 207, 422):
        outcome = answer(status, body)
        assert isinstance(outcome, Refused)
        assert "not one of eval-alignment ingest" in outcome.cause


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_temporary_failure_is_repeated(status: int) -> None:
    assert isinstance(answer(status), Postponed)


@pytest.mark.parametrize("status", [201, 204, 301, 307, 400, 401, 403, 404, 405, 415])
def test_everything_else_waits_for_another_configuration(status: int) -> None:
    outcome = answer(status, {"detail": "no token"}, content_type="application/problem+json")
    assert isinstance(outcome, Refused)
    assert outcome.cause.startswith(str(status))
    assert ("redirects are not followed" if 300 <= status < 400 else "no token") in outcome.cause


def test_too_large_is_its_own_outcome() -> None:
    assert answer(413, {"detail": "more than 8 MiB"}, content_type="application/problem+json") == TooLarge(
        "413 Request Entity Too Large: more than 8 MiB"
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("Mon, 23 Nov 2026 10:00:30 GMT", 30.0),
        ("Monday, 23-Nov-26 10:00:30 GMT", 30.0),
        ("Mon Nov 23 10:00:30 2026", 30.0),
        ("Mon, 23 Nov 2026 09:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Mon, 99 Nov 2026 10:00:30 GMT", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=60) | st.text("0123456789 :,-+GMTNovMonJan", max_size=400))
def test_no_retry_after_raises(value: str) -> None:
    seconds = retry_after(value, NOW)
    assert seconds is None or seconds >= 0


def test_hours_are_cut_and_told() -> None:
    for value in ("7200", "9" * 400, format_datetime(NOW + timedelta(hours=2), usegmt=True)):
        outcome = answer(503, retry_after=value)
        assert isinstance(outcome, Postponed)
        assert outcome.retry_after_s == LONGEST_RETRY_AFTER_S
        assert "which is cut to 300 s" in outcome.cause


def test_a_date_is_compared_with_the_clock_of_the_server() -> None:
    wrong = "Mon, 23 Nov 2026 12:00:00 GMT"
    outcome = answer(429, date=wrong, retry_after="Mon, 23 Nov 2026 12:00:05 GMT")
    assert outcome == Postponed("429 Too Many Requests", 5.0)
