"""The worker's Prometheus metrics: one typed list, from which the registry and the docs are generated."""

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.runtime.metric_specs import BUILD_INFO, REFUSED, counter, gauge, histogram
from streams.runtime.refusals import Refusals

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

EVENTS: Final = counter("events_total", "Events processed, including rejected ones.", "topic")
REJECTED: Final = counter("events_rejected_total", "Events that became dead letters, by reason.", "topic", "reason")
SUPERSEDED: Final = counter(
    "events_superseded_total", "Events without effect because the row has a higher version.", "topic"
)
DUPLICATE: Final = counter(
    "events_duplicate_total", "Events without effect because they equal the current version of the row.", "topic"
)
CONFLICTING: Final = counter(
    "events_conflicting_total",
    "Events with the `at` and `id` of their row but other content; the content decides which one is the row.",
    "topic",
)
UNKNOWN_FIELDS: Final = counter(
    "events_unknown_fields_total", "Valid events with fields that no such event has, which are ignored.", "topic"
)
MISROUTED: Final = counter(
    "events_misrouted_total", "Rejected events whose item belongs to another partition.", "topic"
)
FACTS_WRITTEN: Final = counter("facts_written_total", "Rows appended to the ledger.")
COMPARISONS_ADDED: Final = counter(
    "comparisons_added_total", "Comparisons added to the counts, live or by replaying the ledger."
)
COMPARISONS_RETRACTED: Final = counter(
    "comparisons_retracted_total", "Comparisons removed from the counts because a row changed."
)
CHECKPOINT_SECONDS: Final = histogram(
    "checkpoint_seconds", "Duration of a checkpoint, from draining the shards to releasing positions.", _SECONDS
)
EVENT_TO_PUBLISH_SECONDS: Final = histogram(
    "event_to_publish_seconds",
    "Time from the broker's timestamp of a batch's oldest event to its published tallies, one sample per batch.",
    _SECONDS,
)
RECOVERY_ROWS: Final = counter("recovery_rows_total", "Ledger rows replayed.")
CIRCUIT_BREAKER_OPEN: Final = gauge("circuit_breaker_open", "1 while the circuit breaker pauses this worker.")
QUARANTINED: Final = gauge(
    "quarantined_partitions", "Partitions that this worker owns and does not process, because they are in quarantine."
)
FOREIGN_ROWS: Final = gauge(
    "foreign_rows",
    "Ledger rows of owned partitions that another program wrote, and that are counted; expected to be 0.",
)
RECOVERING: Final = gauge("recovering", "1 while this worker joins its group or replays the ledger.")
AUDITS: Final = counter("audits_total", "Audits: partitions recounted from the ledger and compared.")
AUDIT_MISMATCHES: Final = gauge(
    "audit_mismatches",
    "Tallies that differed from the recount of the ledger in the last audit of each owned partition; expected to be 0.",
)
UNCOMMITTED: Final = gauge("uncommitted_events", "Source offsets that are processed and not committed yet.")
LAG: Final = gauge(
    "lag_events", "Source offsets of an owned partition that are not processed yet.", "topic", "partition"
)

METRICS: Final = (
    EVENTS,
    REJECTED,
    SUPERSEDED,
    DUPLICATE,
    CONFLICTING,
    UNKNOWN_FIELDS,
    MISROUTED,
    FACTS_WRITTEN,
    COMPARISONS_ADDED,
    COMPARISONS_RETRACTED,
    CHECKPOINT_SECONDS,
    EVENT_TO_PUBLISH_SECONDS,
    RECOVERY_ROWS,
    CIRCUIT_BREAKER_OPEN,
    QUARANTINED,
    FOREIGN_ROWS,
    RECOVERING,
    AUDITS,
    AUDIT_MISMATCHES,
    UNCOMMITTED,
    LAG,
    REFUSED,
    BUILD_INFO,
)
"""Every metric of a worker."""


class WorkerMetrics:
    """The metrics of one worker, in their own registry.

    Args:
        version: the release, for `build_info`.
        lag: returns (topic, partition, events) of every owned source partition. It is called at each scrape, so that
            the series of revoked partitions disappear.
    """

    def __init__(self, version: str, lag: Callable[[], Iterable[tuple[str, int, int]]]) -> None:
        registry = self.registry = CollectorRegistry()
        self.events = EVENTS.counter(registry)
        self.rejected = REJECTED.counter(registry)
        self.superseded = SUPERSEDED.counter(registry)
        self.duplicate = DUPLICATE.counter(registry)
        self.conflicting = CONFLICTING.counter(registry)
        self.unknown_fields = UNKNOWN_FIELDS.counter(registry)
        self.misrouted = MISROUTED.counter(registry)
        self.facts_written = FACTS_WRITTEN.counter(registry)
        self.comparisons_added = COMPARISONS_ADDED.counter(registry)
        self.comparisons_retracted = COMPARISONS_RETRACTED.counter(registry)
        self.checkpoint_seconds = CHECKPOINT_SECONDS.histogram(registry)
        self.event_to_publish_seconds = EVENT_TO_PUBLISH_SECONDS.histogram(registry)
        self.recovery_rows = RECOVERY_ROWS.counter(registry)
        self.circuit_breaker_open = CIRCUIT_BREAKER_OPEN.gauge(registry)
        self.quarantined = QUARANTINED.gauge(registry)
        self.foreign_rows = FOREIGN_ROWS.gauge(registry)
        self.recovering = RECOVERING.gauge(registry)
        self.audits = AUDITS.counter(registry)
        self.audit_mismatches = AUDIT_MISMATCHES.gauge(registry)
        self.uncommitted = UNCOMMITTED.gauge(registry)
        self.refusals = Refusals(registry)
        BUILD_INFO.gauge(registry).labels("worker", version).set(1)
        registry.register(_Lag(lag))


class _Lag(Collector):
    def __init__(self, lag: Callable[[], Iterable[tuple[str, int, int]]]) -> None:
        self._lag = lag

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(LAG.name, LAG.help, labels=LAG.labels)
        for topic, partition, events in self._lag():
            family.add_metric((topic, str(partition)), events)
        yield family
