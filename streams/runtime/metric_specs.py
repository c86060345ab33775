"""What a Prometheus metric is, before it is registered: every metric of the product stands in a typed list of these.

The lists are `streams.runtime.metrics.METRICS` (worker), `sinks.metrics.METRICS` (view) and `sinks.gauges.FAMILIES`
(what the view computes). Registries, docs/metrics.md and the tests of both are made from them.
"""

from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

# A `_created` series for every counter is in no list, and doubles the series.
disable_created_metrics()  # type: ignore[no-untyped-call]

PREFIX: Final = "eval_alignment_"
"""Of every metric's name."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric family: the name as it is scraped, type, help text, label names, buckets of a histogram."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

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
    """A counter; its name ends in `_total`."""
    return MetricSpec(f"{PREFIX}{name}", "counter", help_text, labels)


def gauge(name: str, help_text: str, *labels: str) -> MetricSpec:
    """A gauge."""
    return MetricSpec(f"{PREFIX}{name}", "gauge", help_text, labels)


def histogram(name: str, help_text: str, buckets: tuple[float, ...]) -> MetricSpec:
    """A histogram without labels; `buckets` are upper bounds."""
    return MetricSpec(f"{PREFIX}{name}", "histogram", help_text, (), buckets)


BUILD_INFO: Final = gauge("build_info", "Always 1; the running release.", "component", "version")
"""The same for worker and view, with the same labels."""
