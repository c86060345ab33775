"""The service: is anything down, behind or wrong, and what to do about it."""

from typing import Final

from grafana_foundation_sdk.models import dashboard as models

from monitoring.grafana import worker
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

_OURS: Final = 'up{job=~"eval-alignment-(view|worker)"}'
_LAG: Final[Steps] = ((None, TEAL), (1_000, AMBER), (10_000, EMBER))


def _now() -> list[object]:
    return [
        number(
            "Processes up",
            "Share of our targets that Prometheus reaches. Below 100 %: look which in the table of processes, then in "
            "its log; docs/exit-codes.md says what an exit code means." + alerts("Down", "Absent"),
            "percentunit",
            (f"avg({_OURS})", "up"),
            width=3,
            steps=ALL_IS_GOOD,
        ),
        number(
            "View ready",
            "1 once every view has caught up with the ends of the topics at its start. 0 for minutes: no worker closes "
            "checkpoints, or Kafka is away." + alerts("NotReady"),
            "none",
            ("min(eval_alignment_view_ready)", "ready"),
            width=3,
            steps=ALL_IS_GOOD,
            words={"1": ("ready", TEAL), "0": ("not ready", EMBER)},
        ),
        number(
            "State is from",
            "Age of what the view serves: the oldest partition's last closed checkpoint. Workers tell every 5 s even "
            "when nothing happens; above 15 s a worker or the view stands still." + alerts("StateStale"),
            "s",
            ("time() - max(eval_alignment_as_of_timestamp_seconds > 0)", "age"),
            width=3,
            steps=STALE_AFTER,
            decimals=0,
        ),
        number(
            "Behind",
            "Source events that no worker has processed yet. Growing: add a worker, up to one a partition."
            + alerts("Lag"),
            "short",
            ("sum(eval_alignment_lag_events)", "events"),
            width=3,
            steps=_LAG,
        ),
        number(
            "Circuit breaker",
            "Workers that paused on a flood of bad events. Fix the producer and restart the worker, or restart it with "
            "--circuit-breaker off to send them to the dead letters." + alerts("CircuitBreakerOpen"),
            "short",
            ("sum(eval_alignment_circuit_breaker_open)", "open"),
            width=3,
            steps=NONE_IS_GOOD,
        ),
        number(
            "Audit mismatches",
            "Tallies that were not the fold of the ledger. Never but 0. Keep the worker's log, restart it (it counts "
            "anew), and report it." + alerts("AuditMismatch"),
            "short",
            ("sum(eval_alignment_audit_mismatches)", "tallies"),
            width=3,
            steps=NONE_IS_GOOD,
        ),
        number(
            "Rejected",
            "Events that became dead letters in the time shown. `eval-alignment dlq ls` lists them by reason; after "
            "the fix `dlq requeue` sends them again.",
            "short",
            ("sum(increase(eval_alignment_events_rejected_total[$__range])) or vector(0)", "events"),
            width=3,
            steps=NONE_IS_GOOD,
            decimals=0,
        ),
        number(
            "Series suppressed",
            "Series that the cap keeps out of Prometheus, since the views started. Name in the setting `criterion_metrics` which "
            "metrics mean something for which criterion, or raise `series_limit`." + alerts("SeriesSuppressed"),
            "short",
            ("sum(eval_alignment_series_suppressed_total)", "series"),
            width=3,
            steps=NONE_IS_GOOD,
        ),
    ]  # fmt: skip


def _alerts() -> list[object]:
    now = alerting('alertstate="firing"')
    firing = f"max by (alertname, severity, alertstate, queue, criterion, metric, instance) ({alerting()})"
    return [
        grid(
            "Alerts, firing or pending",
            "What Prometheus says now. docs/runbook.md has a section for each; silence them in Alertmanager. Empty "
            "is good.",
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
            "Firing alerts by name. One that comes and goes wants another limit or a longer wait, or has a cause that "
            "does.",
            "short",
            (f"sum by (alertname) ({now})", "{{alertname}}"),
            width=10,
            stacked=True,
        ),
    ]


def _view() -> list[object]:
    return [
        series(
            "Last good pass, by sink",
            "Seconds since each sink of the view finished a pass, whether anything had changed or not. Growing: disk "
            "full, store locked, or Kafka away; the last good state is served meanwhile." + alerts("SnapshotStale"),
            "s",
            ("time() - max by (sink) (eval_alignment_snapshot_last_success_timestamp_seconds)", "{{sink}}"),
            limit=((None, "transparent"), (60, GREY)),
            width=8,
        ),
        series(
            "Failed passes, by sink",
            "Passes that failed and are tried again. Nothing is lost: what the view serves is derived from the "
            "topics. Its log names the cause.",
            "suffix:a minute",
            (f"60 * {rate('eval_alignment_snapshot_failures_total', 'sink')}", "{{sink}}"),
            width=8,
        ),
        series(
            "Time to bring the gauges up to date",
            "Grows with queues, criteria and metrics. Above a second: name in `criterion_metrics` what belongs together.",
            "s",
            *quantiles("eval_alignment_collect_seconds"),
            width=8,
            colours=SHADES,
        ),
        series(
            "Series of the product",
            "Series that the views serve, against the setting `series_limit`. Near it, the newest queues will be left "
            "out; suppressed ones are counted." + alerts("SeriesSuppressed"),
            "short",
            ('count by (instance) ({__name__=~"eval_alignment_.*",queue!=""})', "{{instance}}"),
            (rate("eval_alignment_series_suppressed_total", "instance"), "suppressed a second, {{instance}}"),
        ),
        series(
            "Open event streams",
            "Pages that follow the stream live. A page that nobody looks at closes its stream.",
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
            "Resident memory. A worker's grows with the items of its partitions: more workers share them.",
            "bytes",
            (f"process_resident_memory_bytes {named}", "{{component}} {{instance}}"),
            width=8,
        ),
        series(
            "CPU",
            "Cores in use. One process is one core at most: a worker near 1 is the limit of its partitions.",
            "short",
            (f"rate(process_cpu_seconds_total[$__rate_interval]) {named}", "{{component}} {{instance}}"),
            width=8,
        ),
        grid(
            "Processes",
            "Release and start of every process. Two releases at once: an update is half-way. A start that moves: it "
            "restarts; its exit code says why." + alerts("Down"),
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
    ]  # fmt: skip


def build(page: str = PAGE) -> models.Dashboard:
    """The dashboard."""
    return frame(
        SERVICE_UID,
        "Eval Alignment / Service health",
        "Workers and views: is anything down, behind or wrong.",
        (
            ("Now", _now()),
            ("Alerts", _alerts()),
            ("Worker: what comes in", worker.incoming()),
            ("Worker: how far behind", worker.behind()),
            ("Worker: recovery and audit", worker.recovery()),
            ("View", _view()),
            ("Processes", _processes()),
        ),
        since="now-6h",
        alerting=('area="service"',),
        page=page,
    )
