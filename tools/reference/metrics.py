"""docs/metrics.md: every metric with type and labels, the values of labels, and queries to start from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aggregator.statistics.gate import Gate
from ingest.metrics import METRICS as INGEST_METRICS
from sinks.gauges import FAMILIES, RECENT_DAYS, WINDOWS
from sinks.metrics import METRICS as VIEW_METRICS
from streams.events.reasons import Reason
from streams.kafka.topics import Topics
from streams.runtime.metric_specs import MetricSpec
from streams.runtime.metrics import METRICS as WORKER_METRICS
from tools.reference.markdown import code, document, fenced, section, table


@dataclass(frozen=True, slots=True)
class ExampleQuery:
    """A PromQL query and what it answers."""

    question: str
    promql: str
    note: str = ""


QUERIES: Final = (
    ExampleQuery(
        "Lowest agreement of each queue, by the lower bound of the interval",
        'min by (queue) (eval_alignment_agreement_ci_low{window="all"})',
        "The lower bound does not call a pair good because it has few items. Use `eval_alignment_agreement_ratio` "
        "for the rate itself. Select one `window`; without it the query mixes windows.",
    ),
    ExampleQuery(
        "Metrics whose agreement is below 70 % with 95 % confidence, last 30 days",
        'eval_alignment_agreement_ci_high{window="30d"} < 0.7',
        "The query compares the upper bound of the interval, so a few bad labels do not match.",
    ),
    ExampleQuery(
        "Agreement of each metric over all queues",
        'sum by (metric) (eval_alignment_comparisons{outcome=~"tp|tn"}) / sum by (metric) (eval_alignment_comparisons)',
        "Counts add up over queues, ratios do not.",
    ),
    ExampleQuery(
        "Share of rejected events by topic, last hour",
        "sum by (topic) (increase(eval_alignment_events_rejected_total[1h])) / sum by (topic) "
        "(increase(eval_alignment_events_total[1h]))",
        "Every topic and reason has a series from the start of a worker, so the first rejected event counts too.",
    ),
    ExampleQuery(
        "Events that wait to be processed",
        "sum by (topic) (eval_alignment_lag_events)",
    ),
    ExampleQuery(
        "Age of what the view serves, in seconds",
        "time() - eval_alignment_as_of_timestamp_seconds",
        "It grows when a worker stops. It does not grow while a worker lags, or while its circuit breaker is open: "
        "query `max(eval_alignment_lag_events)` and `max(eval_alignment_circuit_breaker_open)` too.",
    ),
    ExampleQuery(
        "99th percentile of the time from event to published counts, in seconds",
        "histogram_quantile(0.99, sum by (le) (rate(eval_alignment_event_to_publish_seconds_bucket[5m])))",
        "NaN while no events arrive.",
    ),
)
"""Queries for dashboards and alerts; a test evaluates each with promtool."""


def page() -> str:
    """The page."""
    return document(
        "Metrics",
        "The view, every worker and ingest serve metrics for Prometheus at `/metrics` ([scrape configuration]"
        "(monitoring.md)). The tables list every family that belongs to Eval Alignment, with the labels of its series "
        "as they are scraped. On Linux all also serve the `process_*` families of prometheus-client. A histogram has "
        "the series `_bucket` (with the label `le`), `_sum` and `_count`. Jump to: [labels](#labels), "
        "[queries](#queries).",
        section(
            "Agreement, from the view",
            "Families with the label `window` have a series for each window: UTC days up to today, or `all`. The "
            "others cover all days. A statistic that is undefined has no series, nor has a metric that the setting "
            "`criterion_metrics` makes off topic. The view serves at most `series_limit` of these series; above "
            "it every queue has an equal share ([scaling](scaling.md#limits-of-the-view)).",
            _specs(FAMILIES),
            "With the setting `expose_judge_version`, `eval_alignment_newest_judge_first_timestamp_seconds` and "
            "`eval_alignment_newest_judge_comparisons` also have the label `judge`, and "
            "`eval_alignment_judge_comparisons` exists. The families `eval_alignment_segment_...` exist only for the "
            "tags of the setting `segment_gauges`, with at most 100 values of each tag and pair. A pair "
            "is read again after 15 seconds or 20 times as long as the last readings of all pairs took.",
        ),
        section("The view itself", _specs(VIEW_METRICS)),
        section("A worker", _specs(WORKER_METRICS)),
        section("Ingest", _specs(INGEST_METRICS)),
        section("Labels", table(("label", "of", "values"), _labels())),
        section("Queries", *(_query(query) for query in QUERIES)),
        see_also=(
            "[Monitoring](monitoring.md): dashboards, recording rules and alerts",
            "[Runbook](runbook.md)",
            "[Statistics](statistics.md): formulas and sources",
            "[Reject reasons](reasons.md)",
        ),
    )


def _specs(specs: Iterable[MetricSpec]) -> str:
    rows = [(f"`{spec.name}`", spec.kind, code(spec.labels), spec.help) for spec in specs]
    return table(("metric", "type", "labels", "meaning"), rows)


def _labels() -> list[tuple[str, str, str]]:
    windows = [window.value for window in WINDOWS]
    return [
        ("`queue`, `criterion`, `metric`, `judge`", "agreement", "names from your events"),
        (
            "`window`",
            "`eval_alignment_agreement_*`, `_baseline_ratio`, `_true_*_ratio`",
            code(windows),
        ),
        ("`window`", "`eval_alignment_newest_judge_agreement_*`", f"`30d`, `{RECENT_DAYS}d`"),
        (
            "`window`",
            "`eval_alignment_newest_judge_window_*`",
            "`30d`",
        ),
        (
            "`outcome`",
            "comparisons",
            "`tp`, `fn`, `tn`, `fp`: people are the truth and a pass is positive; `fp`: people fail, metric passes",
        ),
        ("`state`", "`eval_alignment_gate`", code(state.value for state in Gate)),
        ("`state`", "`eval_alignment_annotations`", "`contributing` (part of a comparison), `not_contributing`"),
        ("`topic`", "a worker", f"{code(Topics().sources)}, or as the settings name them"),
        ("`reason`", "`eval_alignment_events_rejected_total`", code(reason.value for reason in Reason)),
        ("`partition`", "`eval_alignment_lag_events`", "index of an owned partition"),
        ("`sink`", "the view", "`store` (reads the topics), `gauges`, `history`, `topic` (publishes documents)"),
        ("`component`", "`eval_alignment_build_info`", "`ingest`, `view`, `worker`"),
        ("`sender`", "ingest", "name of a token; empty without a name or without tokens"),
        ("`status`", "`eval_alignment_ingest_responses_total`", "HTTP status"),
        ("`version`", "`eval_alignment_build_info`", "the release"),
    ]


def _query(query: ExampleQuery) -> str:
    parts = [f"**{query.question}**", fenced("promql", query.promql)]
    return "\n\n".join(parts + ([query.note] if query.note else []))
