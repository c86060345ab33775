"""Outages of the broker: one line each, however many failures."""

import logging

import pytest

from streams.runtime.outage import OUTAGE_SECONDS, BrokerOutage


def test_an_outage_is_logged_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = [0.0]
    outage = BrokerOutage(lambda: clock[0])
    for _ in range(2):
        for _ in range(100):
            outage.failed(TimeoutError())
            clock[0] += 1.0
        for _ in range(3):
            outage.answered()
    begun, ended = "broker not reachable for 30 s, retrying", "broker reachable again after 100 s"
    assert [record.getMessage() for record in caplog.records] == [begun, ended, begun, ended]
    assert caplog.records[0].__dict__["error"] == "TimeoutError()"


def test_a_short_outage_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = [0.0]
    outage = BrokerOutage(lambda: clock[0])
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            outage.failed("closed")
            clock[0] += OUTAGE_SECONDS / 2
            outage.failed("closed")
            ongoing = [outage.ongoing]
            outage.answered()
            assert [*ongoing, outage.ongoing] == [True, False]
            clock[0] += OUTAGE_SECONDS
    assert caplog.records == []
