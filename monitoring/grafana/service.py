"""The dashboard of the service: is anything down, lagging or wrong, and what to do about it."""

from typing import Final

from grafana_foundation_sdk.models import dashboard as models

from monitoring.grafana import ingest, worker
from monitoring.grafana.frame import PAGE, SERVICE_UID, frame
from monitoring.grafana.panels import (
    ALERT_STATES,
    ALL_IS_GOOD,
    AMBER,
    COLOURED,
    EMBER,
    GREY,
    NONE_IS_GOOD,
    SEVERITIES,
    SHADES,
    STALE_AFTER,
    TEAL,
    Steps,
    alerts,
    grid,
    number,
    series,
    value_map,
)
from monitoring.grafana.promql import alerting, quantiles, rate

_OURS: Final = 'up{job=~"eval-alignment-(view|worker|ingest)"}'
_LAG: Final[Steps] = ((None, TEAL), (1_000, AMBER), (10_000, EMBER))


def _now() -> list[object]:
    return [
        number(
            "Processes up",
            "Share of the targets that Prometheus reaches. Below 100 %: find the process in the table of processes, "
            "then read its log. docs/exit-codes.md explains exit codes."
            + alerts("Down", "WorkerDown", "IngestDown", "Absent"),
            "percentunit",
            (f"avg({_OURS})", "up"),
            width=3,
            steps=ALL_IS_GOOD,
        ),
        number(
            "View ready",
            "1 when every view has read the topics to the ends that they had at its start. 0 for minutes: no worker "
            "writes checkpoints, or Kafka is unreachable." + alerts("NotReady"),
            "none",
            ("min(eval_alignment_view_ready)", "ready"),
            width=3,
            steps=ALL_IS_GOOD,
            words={"1": ("ready", TEAL), "0": ("not ready", EMBER)},
        ),
        number(
            "Age of the state",
            "Age of the state that the view serves: how long the oldest event of a partition has waited, or the age of "
            "the last checkpoint where none waits. Above 15 s, the page is stale and names the reason."
            + alerts("StateStale"),
            "s",
            ("time() - max(eval_alignment_as_of_timestamp_seconds > 0)", "age"),
            width=3,
            steps=STALE_AFTER,
            decimals=0,
        ),
        number(
            "Events waiting",
            "Source events that no worker has processed yet. Growing: add a worker, up to one per partition."
            + alerts("Lag"),
            "short",
            ("sum(eval_alignment_lag_events)", "events"),
            width=3,
            steps=_LAG,
        ),
        number(
            "Circuit breaker",
            "Workers that paused because too many events were invalid. Stop the producer, then restart the worker: "
            "the invalid events that it has seen become dead letters."
            + alerts("CircuitBreakerOpen"),
            "short",
            ("sum(eval_alignment_circuit_breaker_open)", "open"),
            width=2,
            steps=NONE_IS_GOOD,
        ),
        number(
            "In quarantine",
            "Partitions that a worker cannot read correctly, or that have more tallies than `max_tallies`, so it "
            "counts and publishes nothing of them. Its log, `/readyz` and the page have the reason and what to do."
            + alerts("PartitionQuarantined"),
            "short",
            ("sum(eval_alignment_quarantined_partitions)", "partitions"),
            width=2,
            steps=NONE_IS_GOOD,
        ),
        number(
            "Audit mismatches",
            "Tallies that differ from a recount of the ledger. Always 0 unless there is a bug. Keep the worker's log, "
            "restart the worker (it counts again), and report the bug." + alerts("AuditMismatch"),
            "short",
            ("sum(eval_alignment_audit_mismatches)", "tallies"),
            width=3,
            steps=NONE_IS_GOOD,
        ),
        number(
            "Rejected",
            "Events that became dead letters in the time range. `eval-alignment dlq ls` lists them by reason. After "
            "the fix, `dlq requeue` sends them again.",
            "short",
            ("sum(increase(eval_alignment_events_rejected_total[$__range])) or vector(0)", "events"),
            width=3,
            steps=NONE_IS_GOOD,
            decimals=0,
        ),
        number(
            "Series suppressed",
            "Series left out because of `series_limit`, since the views started. Raise it, or list in the setting "
            "`criterion_metrics` the metrics that are on topic for each criterion." + alerts("SeriesSuppressed"),
            "short",
            ("sum(eval_alignment_series_suppressed_total)", "series"),
            width=2,
            steps=NONE_IS_GOOD,
        ),
    ]  # fmt: skip


def _alerts() -> list[object]:
    now = alerting('alertstate="firing"')
    firing = f"max by (alertname, severity, alertstate, queue, criterion, metric, instance) ({alerting()})"
    return [
        grid(
            "Alerts, firing or pending",
            "The current alerts of Prometheus. docs/runbook.md has a section for each. Silence them in Alertmanager.",
            "none",
            {"Value": firing},
            keys=("severity", "alertname", "alertstate", "queue", "criterion", "metric", "instance"),
            sort=("severity", False),
            hidden=("Value",),
            properties={
                "severity": (("mappings", [value_map(SEVERITIES)]), COLOURED),
                "alertstate": (("mappings", [value_map(ALERT_STATES)]), COLOURED),
            },
            width=14,
            height=8,
        ),
        series(
            "Alerts over time",
            "Firing alerts by name. If one fires again and again, its cause does too, or its limit does not fit.",
            "short",
            (f"sum by (alertname) ({now})", "{{alertname}}"),
            width=10,
            stacked=True,
        ),
    ]


def _view() -> list[object]:
    return [
        series(
            "Time since the last successful pass, by sink",
            "Seconds since each sink of the view completed a pass, with or without changes. Growing: the disk is full, "
            "the store is locked, or Kafka is unreachable. The view serves the last good state meanwhile."
            + alerts("SnapshotStale"),
            "s",
            ("time() - max by (sink) (eval_alignment_snapshot_last_success_timestamp_seconds)", "{{sink}}"),
            limit=((None, "transparent"), (60, GREY)),
            width=8,
        ),
        series(
            "Failed passes, by sink",
            "Passes that failed and are retried. Nothing is lost, because the view derives everything from the topics. "
            "Its log names the cause.",
            "suffix:/min",
            (f"60 * {rate('eval_alignment_snapshot_failures_total', 'sink')}", "{{sink}}"),
            width=8,
        ),
        series(
            "Time to update the gauges",
            "Grows with queues, criteria and metrics. Above 1 s: list in the setting `criterion_metrics` the metrics "
            "that are on topic for each criterion.",
            "s",
            *quantiles("eval_alignment_collect_seconds"),
            width=8,
            colours=SHADES,
        ),
        series(
            "Series exported",
            "Series that the views export; the setting `series_limit` limits them. Above it, every queue has an "
            "equal share; what is left out is counted as suppressed, and named in the log of the view."
            + alerts("SeriesSuppressed"),
            "short",
            ('count by (instance) ({__name__=~"eval_alignment_.*",queue!=""})', "{{instance}}"),
            (rate("eval_alignment_series_suppressed_total", "instance"), "suppressed per second, {{instance}}"),
        ),
        series(
            "Snapshots too large",
            "Queues whose current document is larger than a record of the snapshots topic may be: the topic has an "
            "older one, or none. Raise its `max.message.bytes`; the log of the view names queue and bytes."
            + alerts("SnapshotsTooLarge"),
            "short",
            ("eval_alignment_snapshots_too_large", "{{instance}}"),
        ),
        series(
            "Open event streams",
            "Pages with live updates. A page in a hidden tab closes its stream.",
            "short",
            ("sum by (instance) (eval_alignment_stream_clients)", "{{instance}}"),
        ),
    ]  # fmt: skip


def _processes() -> list[object]:
    named = "* on (job, instance) group_left (component, version) eval_alignment_build_info"
    where = "job, instance"
    return [
        series(
            "Memory",
            "Resident memory. That of a worker grows with the items of its partitions; more workers share them.",
            "bytes",
            (f"process_resident_memory_bytes {named}", "{{component}} {{instance}}"),
            width=8,
        ),
        series(
            "CPU",
            "Cores in use. A process uses at most one core: a worker near 1 is at its limit; add a worker.",
            "short",
            (f"rate(process_cpu_seconds_total[$__rate_interval]) {named}", "{{component}} {{instance}}"),
            width=8,
        ),
        grid(
            "Processes",
            "Release and start time of every process. Two releases: an update is in progress. A start time that "
            "changes: the process restarts; its exit code names the cause."
            + alerts("Down", "WorkerDown", "IngestDown"),
            "none",
            {
                "Up": f"max by ({where}) ({_OURS})",
                "Release": f"max by ({where}, version) (eval_alignment_build_info)",
                "Started": f"max by ({where}) (process_start_time_seconds) * 1000",
                "Open files": f"max by ({where}) (process_open_fds)",
            },
            keys=("job", "instance", "version"),
            sort=("Up", False),
            hidden=("Value #B",),
            properties={
                "Up": (("mappings", [value_map({"1": ("up", TEAL), "0": ("down", EMBER)})]), COLOURED),
                "Started": (("unit", "dateTimeFromNow"),),
            },
            width=8,
            height=8,
        ),
        series(
            "Refused requests and connections, by reason",
            "What the HTTP servers refused or cut off. `token`: somebody tries tokens, or a client has an old one. "
            "`places`: more connections than allowed; is the proxy in the setting `proxy_addresses`? The log has an "
            "address for each reason once per 10 s. docs/security.md has the limits.",
            "suffix:/s",
            (rate("eval_alignment_http_refused_total", "job, reason"), "{{job}}: {{reason}}"),
            width=24,
        ),
    ]  # fmt: skip


def build(page: str = PAGE) -> models.Dashboard:
    """The dashboard."""
    return frame(
        SERVICE_UID,
        "Eval Alignment / Service health",
        "Workers, views and ingest: is anything down, lagging or wrong?",
        (
            ("Now", _now()),
            ("Alerts", _alerts()),
            ("Workers: input", worker.incoming()),
            ("Workers: lag and latency", worker.lag()),
            ("Workers: evaluations that wait", worker.waiting()),
            ("Workers: recovery and audit", worker.recovery()),
            ("Ingest", ingest.taken()),
            ("Sources", ingest.sources()),
            ("View", _view()),
            ("Processes", _processes()),
        ),
        since="now-6h",
        alerting=('area="service"',),
        page=page,
    )
