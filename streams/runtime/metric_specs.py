"""The definition of a Prometheus metric. Every metric of the product is in a typed list of definitions.

The lists are `streams.runtime.metrics.METRICS` (worker), `sinks.metrics.METRICS` (view), `ingest.metrics.METRICS`
(ingest) and `sinks.gauges.FAMILIES` (what the view computes). Registries, docs/metrics.md and the tests of both are
generated from them.
"""

from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

# A `_created` series for each counter would double the number of series, and is in no list.
disable_created_metrics()  # type: ignore[no-untyped-call]

PREFIX: Final = "eval_alignment_"
"""Prefix of every metric's name."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric family."""

    name: str
    """The name as it is scraped."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds, of a histogram."""

    def counter(self, registry: CollectorRegistry) -> Counter:
        """Register a counter."""
        return Counter(self.name, self.help, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        """Register a gauge."""
        return Gauge(self.name, self.help, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        """Register a histogram."""
        return Histogram(self.name, self.help, self.labels, buckets=self.buckets, registry=registry)


def counter(name: str, help_text: str, *labels: str) -> MetricSpec:
    """Define a counter; its name ends in `_total`."""
    return MetricSpec(f"{PREFIX}{name}", "counter", help_text, labels)


def gauge(name: str, help_text: str, *labels: str) -> MetricSpec:
    """Define a gauge."""
    return MetricSpec(f"{PREFIX}{name}", "gauge", help_text, labels)


def histogram(name: str, help_text: str, buckets: tuple[float, ...]) -> MetricSpec:
    """Define a histogram without labels; `buckets` are upper bounds."""
    return MetricSpec(f"{PREFIX}{name}", "histogram", help_text, (), buckets)


BUILD_INFO: Final = gauge("build_info", "Always 1; the running release.", "component", "version")
"""The same for worker, view and ingest, with the same labels."""
REFUSED: Final = counter(
    "http_refused_total", "Requests and connections that an HTTP listener refused or cut off, by reason.", "reason"
)
"""The same for worker, view and ingest."""
