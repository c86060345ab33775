"""What the view says of itself to Prometheus. The product's gauges are in `sinks.gauges`."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

# A `_created` series beside every counter is in no list, and doubles the series.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SINKS = ("store", "gauges", "history", "topic")


class ViewMetrics:
    """Metrics of one view, in a registry of their own."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self.last_success = Gauge(
            "eval_alignment_snapshot_last_success_timestamp_seconds",
            "When a sink last finished a pass, whether anything had changed or not.",
            ["sink"],
            registry=self.registry,
        )
        self.failures = Counter(
            "eval_alignment_snapshot_failures",
            "Passes of a sink that failed and are tried again.",
            ["sink"],
            registry=self.registry,
        )
        self.suppressed = Counter(
            "eval_alignment_series_suppressed",
            "Series of the product's gauges that the cap kept out.",
            registry=self.registry,
        )
        self.collect_seconds = Histogram(
            "eval_alignment_collect_seconds",
            "Time to bring the product's gauges up to date.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.as_of = Gauge(
            "eval_alignment_as_of_timestamp_seconds",
            "Time of the oldest partition's last closed checkpoint; 0 before the first.",
            registry=self.registry,
        )
        self.ready = Gauge(
            "eval_alignment_view_ready",
            "Whether the view has caught up with the end of the topics at its start.",
            registry=self.registry,
        )
        self.streams = Gauge("eval_alignment_stream_clients", "Open server-sent event streams.", registry=self.registry)
        build = Gauge(
            "eval_alignment_build_info",
            "Always 1; the release that runs.",
            ["component", "version"],
            registry=self.registry,
        )
        build.labels("view", version).set(1)
        for sink in _SINKS:
            self.failures.labels(sink)

    def succeeded(self, sink: str, now: float) -> None:
        """A sink finished a pass at `now`, in seconds since epoch."""
        self.last_success.labels(sink).set(now)

    def failed(self, sink: str) -> None:
        """A sink's pass failed."""
        self.failures.labels(sink).inc()
