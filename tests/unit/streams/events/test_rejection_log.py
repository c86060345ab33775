"""Rejected events are logged by origin and reason, once a minute, and none is missing in the numbers."""

import logging

import pytest

from streams.events.decoder import Rejection
from streams.events.example import example
from streams.events.reasons import Reason
from streams.events.rejection_log import RejectionLog


def test_one_line_for_each_origin_reason_and_minute_has_all_events_since_the_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    log = RejectionLog(lambda: now[0])
    value = b"\x1b[2J" + b"x" * 300
    with caplog.at_level(logging.WARNING):
        for seconds, offset in ((0, 1), (1, 2), (59, 3)):
            now[0] = seconds
            log.note("topic=t", 2, example(f"t:0:{offset}", Rejection(Reason.MALFORMED, "not\nJSON"), value))
        log.note("topic=t", 1, example("t:0:9", Rejection(Reason.NULL_VALUE, "no value"), None))
        now[0] = 60
        log.flush()
        now[0] = 200
        log.flush()
    shown = "value \\x1b[2J" + "x" * 196 + "... (304 bytes)"
    assert [record.getMessage() for record in caplog.records] == [
        f"events rejected: topic=t, reason=malformed, events=2, for example t:0:1 malformed: not\\nJSON; {shown}",
        "events rejected: topic=t, reason=null_value, events=1, for example t:0:9 null_value: no value; value null",
        f"events rejected: topic=t, reason=malformed, events=4, for example t:0:2 malformed: not\\nJSON; {shown}",
    ]
