"""The worker's Prometheus metrics: one typed list, from which the registry and the docs are made."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# A `_created` series beside every counter is in no list, and doubles the series.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """Name as it is scraped, type, help text and label names."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


_PREFIX: Final = "eval_alignment_"

EVENTS: Final = MetricSpec(f"{_PREFIX}events_total", "counter", "Events processed, rejected ones included.", ("topic",))
REJECTED: Final = MetricSpec(
    f"{_PREFIX}events_rejected_total", "counter", "Events that became dead letters, by reason.", ("topic", "reason")
)
SUPERSEDED: Final = MetricSpec(
    f"{_PREFIX}events_stale_total", "counter", "Events superseded by a newer version of their row.", ("topic",)
)
DUPLICATE: Final = MetricSpec(
    f"{_PREFIX}events_duplicate_total", "counter", "Events that were the row already.", ("topic",)
)
MISROUTED: Final = MetricSpec(
    f"{_PREFIX}events_misrouted_total",
    "counter",
    "Rejected events of items that belong to another partition.",
    ("topic",),
)
FACTS_WRITTEN: Final = MetricSpec(f"{_PREFIX}facts_written_total", "counter", "Rows appended to the ledger.")
COMPARISONS_ADDED: Final = MetricSpec(
    f"{_PREFIX}comparisons_added_total", "counter", "Comparisons that entered a cell, live or by replaying the ledger."
)
COMPARISONS_RETRACTED: Final = MetricSpec(
    f"{_PREFIX}comparisons_retracted_total", "counter", "Comparisons that left a cell because a row changed."
)
CHECKPOINT_SECONDS: Final = MetricSpec(
    f"{_PREFIX}checkpoint_seconds", "histogram", "Duration of a checkpoint, from taking to released positions."
)
EVENT_TO_PUBLISH_SECONDS: Final = MetricSpec(
    f"{_PREFIX}event_to_publish_seconds",
    "histogram",
    "Time from the broker's timestamp of a batch's oldest event to its published tallies, one sample a batch.",
)
RECOVERY_ROWS: Final = MetricSpec(f"{_PREFIX}recovery_rows_total", "counter", "Ledger rows replayed.")
CIRCUIT_BREAKER_OPEN: Final = MetricSpec(f"{_PREFIX}fuse_blown", "gauge", "1 while the fuse pauses this worker.")
RECOVERING: Final = MetricSpec(
    f"{_PREFIX}recovering", "gauge", "1 while this worker joins its group or replays the ledger."
)
AUDITS: Final = MetricSpec(
    f"{_PREFIX}audits_total", "counter", "Audits: partitions folded anew from the ledger and compared."
)
AUDIT_MISMATCHES: Final = MetricSpec(
    f"{_PREFIX}audit_mismatches",
    "gauge",
    "Tallies that differed from the fold of the ledger in the last audit of each owned partition; never but 0.",
)
UNCOMMITTED: Final = MetricSpec(
    f"{_PREFIX}uncommitted_events", "gauge", "Source offsets that are processed and not committed yet."
)
LAG: Final = MetricSpec(
    f"{_PREFIX}lag_events",
    "gauge",
    "Source offsets of an owned partition that are not processed yet.",
    ("topic", "partition"),
)
BUILD_INFO: Final = MetricSpec(f"{_PREFIX}build_info", "gauge", "Always 1; the release is a label.", ("version",))

METRICS: Final = (
    EVENTS,
    REJECTED,
    SUPERSEDED,
    DUPLICATE,
    MISROUTED,
    FACTS_WRITTEN,
    COMPARISONS_ADDED,
    COMPARISONS_RETRACTED,
    CHECKPOINT_SECONDS,
    EVENT_TO_PUBLISH_SECONDS,
    RECOVERY_ROWS,
    CIRCUIT_BREAKER_OPEN,
    RECOVERING,
    AUDITS,
    AUDIT_MISMATCHES,
    UNCOMMITTED,
    LAG,
    BUILD_INFO,
)
"""Every metric of a worker."""


class WorkerMetrics:
    """The metrics of one worker, in a registry of their own.

    `lag` gives (topic, partition, events) of every owned source partition at the time of a scrape, so that partitions
    that were given away vanish.
    """

    def __init__(self, version: str, lag: Callable[[], Iterable[tuple[str, int, int]]]) -> None:
        self.registry = CollectorRegistry()
        self.events = self._counter(EVENTS)
        self.rejected = self._counter(REJECTED)
        self.superseded = self._counter(SUPERSEDED)
        self.duplicate = self._counter(DUPLICATE)
        self.misrouted = self._counter(MISROUTED)
        self.facts_written = self._counter(FACTS_WRITTEN)
        self.comparisons_added = self._counter(COMPARISONS_ADDED)
        self.comparisons_retracted = self._counter(COMPARISONS_RETRACTED)
        self.checkpoint_seconds = self._histogram(CHECKPOINT_SECONDS)
        self.event_to_publish_seconds = self._histogram(EVENT_TO_PUBLISH_SECONDS)
        self.recovery_rows = self._counter(RECOVERY_ROWS)
        self.circuit_breaker_open = self._gauge(CIRCUIT_BREAKER_OPEN)
        self.recovering = self._gauge(RECOVERING)
        self.audits = self._counter(AUDITS)
        self.audit_mismatches = self._gauge(AUDIT_MISMATCHES)
        self.uncommitted = self._gauge(UNCOMMITTED)
        self._gauge(BUILD_INFO).labels(version).set(1)
        self.registry.register(_Lag(lag))

    def _counter(self, spec: MetricSpec) -> Counter:
        return Counter(spec.name, spec.help, spec.labels, registry=self.registry)

    def _gauge(self, spec: MetricSpec) -> Gauge:
        return Gauge(spec.name, spec.help, spec.labels, registry=self.registry)

    def _histogram(self, spec: MetricSpec) -> Histogram:
        return Histogram(spec.name, spec.help, spec.labels, buckets=_SECONDS, registry=self.registry)


class _Lag(Collector):
    def __init__(self, lag: Callable[[], Iterable[tuple[str, int, int]]]) -> None:
        self._lag = lag

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(LAG.name, LAG.help, labels=LAG.labels)
        for topic, partition, events in self._lag():
            family.add_metric((topic, str(partition)), events)
        yield family
