"""The dashboard of all queues: which metrics may stand in for people, and where to look first."""

from typing import Final

from grafana_foundation_sdk.models import dashboard as models

from monitoring.grafana.frame import PAGE, QUEUES_UID, frame, page_url, queue_url
from monitoring.grafana.panels import (
    ALERT_STATES,
    COLOURED,
    GATE_STATES,
    GREY,
    LIMITS,
    LOW_BOUND,
    NONE_IS_GOOD,
    RATE_OF_FAILS,
    SEVERITIES,
    STALE_AFTER,
    data_link,
    grid,
    number,
    series,
    threshold_property,
    value_map,
)
from monitoring.grafana.promql import alerting

_PAIR: Final = "queue, criterion, metric"
_CELLS: Final = f"max by ({_PAIR}, outcome) (eval_alignment_comparisons)"
_AGREED: Final = f'max by ({_PAIR}, outcome) (eval_alignment_comparisons{{outcome=~"tp|tn"}})'
_GATES: Final = f"max by ({_PAIR}, state) (eval_alignment_gate)"
_PRODUCT_ALERTS: Final = alerting('alertstate="firing"', 'area="product"')


def _of_pairs(name: str, window: str = "all") -> str:
    return f'max by ({_PAIR}) (eval_alignment_{name}{{window="{window}"}})'


def _having(state: str) -> str:
    return f'count(max by ({_PAIR}) (eval_alignment_gate{{state="{state}"}}))'


def _now() -> list[object]:
    by_state = [(f"{_having(state)} or vector(0)", words, colour) for state, (words, colour) in GATE_STATES.items()]
    counts = [
        number(
            words,
            f"Pairs of criterion and metric, over all queues, whose gate state is {words.lower()}. {_MEANING[words]}",
            "short",
            (query, words),
            width=3,
            steps=((None, colour),),
        )
        for query, words, colour in by_state
    ]
    return [
        number(
            "Queues",
            "Queues with at least one comparison.",
            "short",
            ("count(count by (queue) (eval_alignment_comparisons))", "queues"),
            width=3,
        ),
        *counts,
        number(
            "Comparisons",
            "Pairs of a human rating and a metric's verdict on the same item. Deleted ratings reduce the number.",
            "short",
            (f"sum({_CELLS})", "comparisons"),
            width=3,
        ),
        number(
            "Alerts firing",
            "Firing alerts about queues. The table below lists them. Silence them in Alertmanager.",
            "short",
            (f"count({_PRODUCT_ALERTS}) or vector(0)", "alerts"),
            width=3,
            steps=NONE_IS_GOOD,
        ),
        number(
            "Age of the state",
            "Age of the state that all numbers here are computed from. Above 15 s, see the dashboard *Service health*.",
            "s",
            ("time() - max(eval_alignment_as_of_timestamp_seconds > 0)", "age"),
            width=3,
            steps=STALE_AFTER,
            decimals=0,
        ),
    ]  # fmt: skip


_MEANING: Final = {
    "Trusted": f"Lower bound of alignment at least {LIMITS.trusted_low:.0%}, tnr at least {LIMITS.trusted_tnr:.0%}: "
    "they may stand in for people.",
    "Probation": f"Lower bound at least {LIMITS.probation_low:.0%} and better than a constant judge: use them together "
    "with people.",
    "Not trusted": "Do not use them as a gate. Open the queue and read the disagreements.",
    "Undecided": f"Fewer than {LIMITS.items} annotated items, or people gave only one result. Annotate more.",
}


def _table() -> object:
    columns = {
        "State": _GATES,
        "Alignment": _of_pairs("agreement_ratio"),
        "Low": _of_pairs("agreement_ci_low"),
        "High": _of_pairs("agreement_ci_high"),
        "Baseline": _of_pairs("baseline_ratio"),
        "TPR": _of_pairs("true_positive_ratio"),
        "TNR": _of_pairs("true_negative_ratio"),
        "7 days": _of_pairs("agreement_ratio", "7d"),
        "30 days": _of_pairs("agreement_ratio", "30d"),
        "Comparisons": f"sum by ({_PAIR}) ({_CELLS})",
    }
    row = "__data.fields."
    page = page_url(f"{row}queue")
    items = page_url(f"{row}queue", "/items", criterion=f"{row}criterion", metric=f"{row}metric")
    ours = queue_url(f"{row}queue", f"{row}criterion", f"{row}metric")
    return grid(
        "Every metric of every criterion, the worst first",
        "Sorted by the upper bound of alignment. A queue links to its page, a metric to its dashboard, an alignment to "
        "the items on which people and metric disagree. A dash means undefined, not zero. Colours follow the gate's "
        "limits.",
        "percentunit",
        columns,
        keys=("queue", "criterion", "metric", "state"),
        sort=("High", False),
        hidden=("Value #A",),
        height=12,
        properties={
            "queue": (("links", [data_link("Open the queue on the page", page)]), ("custom.width", 200)),
            "metric": (("links", [data_link("Open the dashboard of this metric", ours)]),),
            "state": (("mappings", [value_map(GATE_STATES)]), COLOURED),
            "Alignment": (("links", [data_link("Open the disagreements", items)]), ("decimals", 1)),
            "Low": (threshold_property(LOW_BOUND), COLOURED, ("decimals", 1)),
            "TNR": (threshold_property(RATE_OF_FAILS), COLOURED, ("decimals", 1)),
            "Comparisons": (("unit", "short"), ("decimals", 0)),
        },
    )


def _alerts() -> object:
    row = "__data.fields."
    about = alerting('area="product"')
    wanted = f"max by (severity, alertname, alertstate, {_PAIR}) ({about})"
    return grid(
        "Alerts about people and metrics",
        "Firing and pending alerts. docs/runbook.md has a section for each. A metric links to its dashboard.",
        "none",
        {"Value": wanted},
        keys=("severity", "alertname", "alertstate", "queue", "criterion", "metric"),
        sort=("severity", False),
        hidden=("Value",),
        height=6,
        properties={
            "severity": (("mappings", [value_map(SEVERITIES)]), COLOURED),
            "alertstate": (("mappings", [value_map(ALERT_STATES)]), COLOURED),
            "metric": (
                (
                    "links",
                    [
                        data_link(
                            "Open the dashboard of this metric",
                            queue_url(f"{row}queue", f"{row}criterion", f"{row}metric"),
                        )
                    ],
                ),
            ),
        },
    )


def _trend() -> list[object]:
    pooled = f"sum by (queue) ({_AGREED}) / sum by (queue) ({_CELLS} > 0)"
    lowest = f'min by (queue) (max by ({_PAIR}) (eval_alignment_agreement_ci_low{{window="30d"}}))'
    return [
        series(
            "Alignment by queue",
            "All comparisons of a queue: cells are summed, then divided. If the line falls, a metric became worse or "
            "the items changed: open the queue.",
            "percentunit",
            (pooled, "{{queue}}"),
            lowest=None,
            highest=1,
        ),
        series(
            "Weakest metric by queue, last 30 days",
            "The lowest lower bound of alignment among a queue's metrics. Below the dashed line, that metric is not "
            "trusted.",
            "percentunit",
            (lowest, "{{queue}}"),
            limit=((None, "transparent"), (LIMITS.trusted_low, GREY)),
            lowest=None,
            highest=1,
        ),
        series(
            "Gate states",
            "Pairs of criterion and metric by gate state. The number of trusted pairs should grow with the labels.",
            "short",
            *((_having(name), words) for name, (words, _) in GATE_STATES.items()),
            stacked=True,
            colours=dict(GATE_STATES.values()),
        ),
        series(
            "Annotations",
            "Current annotations by queue. A flat line: nobody annotates the queue any more, and its numbers become "
            "outdated.",
            "short",
            ("sum by (queue) (max by (queue, criterion, state) (eval_alignment_annotations))", "{{queue}}"),
        ),
    ]  # fmt: skip


def build(page: str = PAGE) -> models.Dashboard:
    """The dashboard."""
    return frame(
        QUEUES_UID,
        "Eval Alignment / All queues",
        "How well metrics agree with people, over all queues. Start with the first row of the table.",
        (("Now", _now()), ("Where to look", [_table(), _alerts()]), ("Trend", _trend())),
        since="now-30d",
        alerting=('area="product"',),
        page=page,
    )
