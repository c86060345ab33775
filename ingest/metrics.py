"""The Prometheus metrics of an ingest process, as one typed list."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry

from aggregator.names import printable
from streams.events.example import RejectedExample
from streams.events.reasons import SENDER_REASONS
from streams.events.rejection_log import RejectionLog
from streams.runtime.metric_specs import BUILD_INFO, REFUSED, counter, gauge, histogram
from streams.runtime.refusals import Refusals

ACCEPTED: Final = counter(
    "ingest_events_accepted_total", "Events that the broker has acknowledged, by name of the sender's token.", "sender"
)
REJECTED: Final = counter(
    "ingest_events_rejected_total", "Events that were refused to their sender, by reason.", "sender", "reason"
)
RESPONSES: Final = counter("ingest_responses_total", "Responses to requests with events, by HTTP status.", "status")
BYTES: Final = counter("ingest_bytes_total", "Bytes of request bodies with events, after decompression.")
IN_FLIGHT: Final = gauge(
    "ingest_in_flight_bytes", "Bytes of requests that are not answered, or whose events are not acknowledged."
)
ACKNOWLEDGE_SECONDS: Final = histogram(
    "ingest_acknowledge_seconds",
    "Time from sending the events of a request to the broker until it has acknowledged all.",
    (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)
SOURCE_EVENTS: Final = counter(
    "ingest_source_events_total", "Events of a source that the broker has acknowledged.", "source"
)
SOURCE_SKIPPED: Final = counter(
    "ingest_source_skipped_total", "Parts of records of a source that became no event, by reason.", "source", "reason"
)
SOURCE_REJECTED: Final = counter(
    "ingest_source_rejected_total",
    "Events, records and bodies of a source that became dead letters, or were refused to an OTLP exporter.",
    "source",
)
SOURCE_PULLED: Final = gauge(
    "ingest_source_pulled_timestamp_seconds",
    "When a pull of a source last read all its streams to their ends.",
    "source",
)
SOURCE_PULL_FAILED: Final = gauge(
    "ingest_source_pull_failed", "1 when the last pull of a source failed, 0 when it did not.", "source"
)
SOURCE_PULL_INTERVAL: Final = gauge(
    "ingest_source_pull_interval_seconds", "Time from the end of a pull of a source to the next one.", "source"
)
SOURCE_UNRULED: Final = counter(
    "ingest_source_unruled_total",
    "Judgements of a source whose name has no rule, or whose value the rule does not read, by the tool's name.",
    "source",
    "name",
)
INDEX_MADE: Final = gauge(
    "ingest_index_made", "1 once the owner indexes have what Kafka has of their sources; until then sources answer 503."
)
READY: Final = gauge("ingest_ready", "1 while the broker answers.")

_MAX_NAMES: Final = 100
_OTHERS: Final = "(others)"

METRICS: Final = (
    ACCEPTED,
    REJECTED,
    RESPONSES,
    BYTES,
    IN_FLIGHT,
    ACKNOWLEDGE_SECONDS,
    SOURCE_EVENTS,
    SOURCE_SKIPPED,
    SOURCE_REJECTED,
    SOURCE_PULLED,
    SOURCE_PULL_FAILED,
    SOURCE_PULL_INTERVAL,
    SOURCE_UNRULED,
    INDEX_MADE,
    READY,
    REFUSED,
    BUILD_INFO,
)
"""Every metric of an ingest process."""


class IngestMetrics:
    """The metrics of one process, in their own registry."""

    def __init__(self, version: str) -> None:
        registry = self.registry = CollectorRegistry()
        self.accepted = ACCEPTED.counter(registry)
        self.rejected = REJECTED.counter(registry)
        self.responses = RESPONSES.counter(registry)
        self.bytes = BYTES.counter(registry)
        self.in_flight = IN_FLIGHT.gauge(registry)
        self.acknowledge_seconds = ACKNOWLEDGE_SECONDS.histogram(registry)
        self.source_events = SOURCE_EVENTS.counter(registry)
        self.source_skipped = SOURCE_SKIPPED.counter(registry)
        self.source_rejected = SOURCE_REJECTED.counter(registry)
        self.source_pulled = SOURCE_PULLED.gauge(registry)
        self.source_pull_interval = SOURCE_PULL_INTERVAL.gauge(registry)
        self.source_pull_failed = SOURCE_PULL_FAILED.gauge(registry)
        self._source_unruled = SOURCE_UNRULED.counter(registry)
        self._unruled_names: set[tuple[str, str]] = set()
        self.index_made = INDEX_MADE.gauge(registry)
        self.ready = READY.gauge(registry)
        self.rejections = RejectionLog()
        """Logs what the counters of rejections count."""
        self.refusals = Refusals(registry)
        BUILD_INFO.gauge(registry).labels("ingest", version).set(1)

    def expect(self, senders: Iterable[str], sources: Iterable[str]) -> None:
        """Make the series of rejections of these senders and sources: `increase()` then sees their first event."""
        for sender in senders:
            for reason in SENDER_REASONS:
                self.rejected.labels(sender, reason.value)
        for source in sources:
            self.source_rejected.labels(source)

    def count_refused(self, sender: str, events: int, example: RejectedExample) -> None:
        """Count and log events of one reason that were refused to their sender."""
        self.rejected.labels(sender, example.reason).inc(events)
        self.rejections.note(f"sender={printable(sender)}", events, example)

    def count_unruled(self, source: str, name: str, count: int) -> None:
        """Count judgements without a rule. Above 100 names, which tools may make up, the others count together."""
        if (source, name) not in self._unruled_names and len(self._unruled_names) >= _MAX_NAMES:
            name = _OTHERS
        self._unruled_names.add((source, name))
        self._source_unruled.labels(source, name).inc(count)
