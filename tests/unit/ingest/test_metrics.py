"""Series of rejections exist before the first, and what is refused to a sender is logged."""

import logging

import pytest
from prometheus_client import generate_latest

from ingest.metrics import IngestMetrics
from streams.events.decoder import Rejection
from streams.events.example import example
from streams.events.reasons import Reason


def test_every_sender_and_source_has_series_before_the_first_rejection() -> None:
    metrics = IngestMetrics("1")
    metrics.expect({"ci"}, ["chat"])
    scraped = generate_latest(metrics.registry).decode()
    assert 'eval_alignment_ingest_events_rejected_total{reason="malformed",sender="ci"} 0.0' in scraped
    assert 'eval_alignment_ingest_source_rejected_total{source="chat"} 0.0' in scraped
    # A sender has neither keys nor partitions.
    assert "misrouted" not in scraped


def test_what_is_refused_is_counted_and_logged_with_an_example(caplog: pytest.LogCaptureFixture) -> None:
    metrics = IngestMetrics("1")
    with caplog.at_level(logging.WARNING):
        metrics.count_refused("ci\n", 3, example("event 0", Rejection(Reason.OVERSIZED, "too large"), b"x"))
    assert [record.getMessage() for record in caplog.records] == [
        "events rejected: sender=ci\\n, reason=oversized, events=3, for example event 0 oversized: too large; value x"
    ]
    scraped = generate_latest(metrics.registry).decode()
    assert 'rejected_total{reason="oversized",sender="ci\\n"} 3.0' in scraped
