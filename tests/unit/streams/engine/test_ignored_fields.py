"""Unknown fields are counted for each event, and logged by name once a minute."""

import logging

import pytest
from prometheus_client import generate_latest

from streams.engine.ignored_fields import IgnoredFields
from streams.events.decoder import Decoder, Kind
from streams.kafka.topics import Topics
from streams.runtime.metrics import WorkerMetrics

EVENT = b'{"id":"a1","at":1700000000000,"queue":"q","item":"i","thumbs":"up","%s":"secret"}'


def test_events_with_unknown_fields_are_counted_and_one_a_minute_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    metrics = WorkerMetrics("1", list)
    ignored = IgnoredFields(Topics(), metrics, lambda: now[0])
    decoder = Decoder(on_unknown_fields=ignored.report)
    with caplog.at_level(logging.WARNING):
        for seconds, name in ((0, b"annotater"), (59.9, b"mood"), (60, b"mood\xff\xe2\x80\xae")):
            now[0] = seconds
            decoder.decode(Kind.ANNOTATION, EVENT % name, b"i")
        decoder.decode(Kind.ANNOTATION, EVENT % b"explanation", b"i")
    topic = Topics().annotations
    assert [record.getMessage() for record in caplog.records] == [
        f"unknown fields ignored: topic={topic}, events=1, for example 'annotater' (did you mean 'annotator'?)",
        f"unknown fields ignored: topic={topic}, events=2, for example 'mood\\ufffd\\u202e'",
    ]
    scraped = generate_latest(metrics.registry).decode()
    assert f'events_unknown_fields_total{{topic="{topic}"}} 3.0' in scraped
    assert f'events_unknown_fields_total{{topic="{Topics().evaluations}"}} 0.0' in scraped
