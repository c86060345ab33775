"""The worker's Prometheus metrics: one typed list, from which the registry and the docs are generated."""

import math
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
TALLIES_WRITTEN_BYTES: Final = counter(
    "tallies_written_bytes_total", "Bytes of tallies and checkpoint markers appended, after compression."
)
DELAYED: Final = gauge(
    "delayed_partitions", "Partitions whose next checkpoint waits, because their tallies need many bytes."
)
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
TALLIES: Final = gauge(
    "tallies",
    "Tallies in memory, or a quarter of the verdicts of judges in them if that is more. All owned partitions together.",
)
TALLIES_LIMIT: Final = gauge(
    "tallies_limit_ratio",
    "Tallies of the fullest owned partition, as a share of the setting `max_tallies`: above 1 it is in quarantine, and "
    "does not count here.",
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
WAITING_EVALUATIONS: Final = gauge(
    "waiting_evaluations", "About the evaluations of unknown items in the store of this worker."
)
WAITING_BYTES: Final = gauge("waiting_bytes", "Bytes on disk of the store of waiting evaluations.")
WAITING_FREE_BYTES: Final = gauge(
    "waiting_free_bytes", "Free bytes of the file system of the store of waiting evaluations."
)
WAITING_OLDEST_SECONDS: Final = gauge(
    "waiting_oldest_seconds", "How far back the store of waiting evaluations reaches; 0 while nothing waits."
)
WAITING_WAIT_SECONDS: Final = gauge(
    "waiting_wait_seconds",
    "The setting `wait_days`: how far back the store must reach. It keeps evaluations 7 days longer.",
)
WAITING_REBUILD_EVENTS: Final = gauge(
    "waiting_rebuild_events",
    "Processed offsets of the evaluations topic that the store of waiting evaluations lacks, and that are read again.",
    "partition",
)
WAITING_OWED_ITEMS: Final = gauge(
    "waiting_owed_items", "Known items whose waiting evaluations are still to be looked up or merged."
)
WAITING_STORED: Final = counter("waiting_stored_total", "Evaluations that were put into the store to wait.")
WAITING_ADOPTED: Final = counter(
    "waiting_adopted_total",
    "Evaluations that waited, or were read again, and became the row when their item was known.",
)
WAITING_MISSING: Final = counter(
    "waiting_missing_total",
    "Evaluations that are missing, at most: offsets that the store lacks and that the evaluations topic no longer has, "
    "and evaluations that were dropped early because the disk was nearly full.",
)
WAITING_UNDECIDED: Final = counter(
    "waiting_undecided_total", "Evaluations that waited and are no longer accepted by the settings of now."
)
WAITING_STORE_FAILURES: Final = counter(
    "waiting_store_failures_total", "Times that the store of waiting evaluations failed or was lost."
)
ADOPT_SECONDS: Final = histogram(
    "adopt_seconds",
    "Duration of looking up and merging what waits for an item that becomes known, up to 10,000 evaluations.",
    (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0),
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
    TALLIES_WRITTEN_BYTES,
    DELAYED,
    COMPARISONS_ADDED,
    COMPARISONS_RETRACTED,
    CHECKPOINT_SECONDS,
    EVENT_TO_PUBLISH_SECONDS,
    RECOVERY_ROWS,
    CIRCUIT_BREAKER_OPEN,
    QUARANTINED,
    TALLIES,
    TALLIES_LIMIT,
    FOREIGN_ROWS,
    RECOVERING,
    AUDITS,
    AUDIT_MISMATCHES,
    UNCOMMITTED,
    LAG,
    WAITING_EVALUATIONS,
    WAITING_BYTES,
    WAITING_FREE_BYTES,
    WAITING_OLDEST_SECONDS,
    WAITING_WAIT_SECONDS,
    WAITING_REBUILD_EVENTS,
    WAITING_OWED_ITEMS,
    WAITING_STORED,
    WAITING_ADOPTED,
    WAITING_MISSING,
    WAITING_UNDECIDED,
    WAITING_STORE_FAILURES,
    ADOPT_SECONDS,
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
        self.tallies_written_bytes = TALLIES_WRITTEN_BYTES.counter(registry)
        self.delayed = DELAYED.gauge(registry)
        self.comparisons_added = COMPARISONS_ADDED.counter(registry)
        self.comparisons_retracted = COMPARISONS_RETRACTED.counter(registry)
        self.checkpoint_seconds = CHECKPOINT_SECONDS.histogram(registry)
        self.event_to_publish_seconds = EVENT_TO_PUBLISH_SECONDS.histogram(registry)
        self.recovery_rows = RECOVERY_ROWS.counter(registry)
        self.circuit_breaker_open = CIRCUIT_BREAKER_OPEN.gauge(registry)
        self.quarantined = QUARANTINED.gauge(registry)
        self.tallies = TALLIES.gauge(registry)
        self.tallies_limit = TALLIES_LIMIT.gauge(registry)
        self.foreign_rows = FOREIGN_ROWS.gauge(registry)
        self.recovering = RECOVERING.gauge(registry)
        self.audits = AUDITS.counter(registry)
        self.audit_mismatches = AUDIT_MISMATCHES.gauge(registry)
        self.uncommitted = UNCOMMITTED.gauge(registry)
        self.waiting_evaluations = WAITING_EVALUATIONS.gauge(registry)
        self.waiting_bytes = WAITING_BYTES.gauge(registry)
        self.waiting_free_bytes = WAITING_FREE_BYTES.gauge(registry)
        # Until it is known. 0 would be a full disk.
        self.waiting_free_bytes.set(math.nan)
        self.waiting_oldest_seconds = WAITING_OLDEST_SECONDS.gauge(registry)
        self.waiting_wait_seconds = WAITING_WAIT_SECONDS.gauge(registry)
        self.waiting_rebuild_events = WAITING_REBUILD_EVENTS.gauge(registry)
        self.waiting_owed_items = WAITING_OWED_ITEMS.gauge(registry)
        self.waiting_stored = WAITING_STORED.counter(registry)
        self.waiting_adopted = WAITING_ADOPTED.counter(registry)
        self.waiting_missing = WAITING_MISSING.counter(registry)
        self.waiting_undecided = WAITING_UNDECIDED.counter(registry)
        self.waiting_store_failures = WAITING_STORE_FAILURES.counter(registry)
        self.adopt_seconds = ADOPT_SECONDS.histogram(registry)
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
