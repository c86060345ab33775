"""The view's own Prometheus metrics, as one typed list. The agreement gauges are in `sinks.gauges`."""

from typing import Final

from prometheus_client import CollectorRegistry

from sinks.freshness import StaleCause
from streams.runtime.metric_specs import BUILD_INFO, REFUSED, counter, gauge, histogram
from streams.runtime.refusals import Refusals

_SINKS: Final = ("store", "gauges", "history", "topic")

LAST_SUCCESS: Final = gauge(
    "snapshot_last_success_timestamp_seconds",
    "Time when a sink last finished a pass, with or without a change.",
    "sink",
)
FAILURES: Final = counter("snapshot_failures_total", "Failed passes of a sink; each is retried.", "sink")
TOO_LARGE: Final = gauge(
    "snapshots_too_large",
    "Queues whose current snapshot document is larger than the snapshots topic takes. The log names them.",
)
SUPPRESSED: Final = counter(
    "series_suppressed_total",
    "Agreement series that the setting `series_limit` leaves out, at most: a pair counts with all that it can have.",
)
COLLECT_SECONDS: Final = histogram(
    "collect_seconds",
    "Duration of an update of the agreement gauges.",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
AS_OF: Final = gauge(
    "as_of_timestamp_seconds",
    "Time up to which every partition is complete: the oldest partition decides; 0 before the first checkpoint.",
)
STALE: Final = gauge(
    "view_stale", "1 while the state is stale for this cause, with the words of `/readyz`; 0 otherwise.", "cause"
)
READY: Final = gauge("view_ready", "1 once the view has read the topics to their end since it started.")
FOREIGN_ROWS: Final = gauge(
    "view_foreign_rows",
    "Counted ledger rows that another program than a worker wrote, as the last checkpoint markers state.",
)
FAILED_QUEUES: Final = gauge(
    "view_queues_failed",
    "Queues whose numbers cannot be computed from what the view's store has: no gauges, and a page with the reason.",
)
INVALID_RECORDS: Final = counter(
    "view_invalid_records_total",
    "Invalid records of ledger and tallies that the view has passed over, because the worker went on from them.",
)
STREAMS: Final = gauge("stream_clients", "Open server-sent event streams.")

METRICS: Final = (
    LAST_SUCCESS,
    FAILURES,
    TOO_LARGE,
    SUPPRESSED,
    COLLECT_SECONDS,
    AS_OF,
    STALE,
    READY,
    FOREIGN_ROWS,
    FAILED_QUEUES,
    INVALID_RECORDS,
    STREAMS,
    REFUSED,
    BUILD_INFO,
)
"""Every metric of a view besides the agreement gauges."""


class ViewMetrics:
    """Metrics of one view, in a registry of their own."""

    def __init__(self, version: str) -> None:
        registry = self.registry = CollectorRegistry()
        self.last_success = LAST_SUCCESS.gauge(registry)
        self.failures = FAILURES.counter(registry)
        self.snapshots_too_large = TOO_LARGE.gauge(registry)
        self.suppressed = SUPPRESSED.counter(registry)
        self.collect_seconds = COLLECT_SECONDS.histogram(registry)
        self.as_of = AS_OF.gauge(registry)
        self.stale = STALE.gauge(registry)
        self.ready = READY.gauge(registry)
        self.foreign_rows = FOREIGN_ROWS.gauge(registry)
        self.failed_queues = FAILED_QUEUES.gauge(registry)
        self.invalid_records = INVALID_RECORDS.counter(registry)
        self.streams = STREAMS.gauge(registry)
        self.refusals = Refusals(registry)
        BUILD_INFO.gauge(registry).labels("view", version).set(1)
        for sink in _SINKS:
            self.failures.labels(sink)
        for cause in StaleCause:
            self.stale.labels(cause.value).set(0)

    def succeeded(self, sink: str, now: float) -> None:
        """Record that a sink finished a pass at `now`, in seconds since epoch."""
        self.last_success.labels(sink).set(now)

    def failed(self, sink: str) -> None:
        """Record that a sink's pass failed."""
        self.failures.labels(sink).inc()
