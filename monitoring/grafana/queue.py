"""The dashboard of one queue: how one metric compares with people on one criterion, over time."""

from grafana_foundation_sdk.models import dashboard as models

from monitoring.grafana import pair
from monitoring.grafana.frame import PAGE, QUEUE_UID, frame, names_of, page_url, queue_url
from monitoring.grafana.panels import (
    COLOURED,
    GATE_STATES,
    GREY,
    LIMITS,
    LOW_BOUND,
    NONE_IS_GOOD,
    RATE_OF_FAILS,
    Query,
    alerts,
    data_link,
    grid,
    link,
    number,
    series,
    threshold_property,
    value_map,
)
from monitoring.grafana.promql import PAIR, count_all, one


def _now() -> list[object]:
    state: Query = (f"max by (state) (eval_alignment_gate{{{PAIR}}})", "{{state}}")
    gate = number(
        "May it stand in for people?",
        f"Trusted: lower bound of alignment at least {LIMITS.trusted_low:.0%} and tnr at least "
        f"{LIMITS.trusted_tnr:.0%}. Probation: lower bound at least {LIMITS.probation_low:.0%} and better than a "
        f"constant judge. Undecided: fewer than {LIMITS.items} annotated items, or people gave only one result. A "
        "dash: off topic. The page shows the reason.",
        "none",
        state,
        names=True,
        width=5,
        steps=((None, GREY),),
    ).links([link("Open the queue on the page", page_url("queue"))])  # fmt: skip
    for name, (words, colour) in GATE_STATES.items():
        gate.override_by_name(
            name,
            [
                models.DynamicConfigValue("displayName", words),
                models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour}),
            ],
        )
    return [
        gate,
        number(
            "Alignment with interval",
            "Share of comparisons in which people and metric agree, with the bounds of the 95 % interval over distinct "
            "items. If the interval is wide, annotate more items.",
            "percentunit",
            (one("agreement_ci_low"), "low"),
            (one("agreement_ratio"), "alignment"),
            (one("agreement_ci_high"), "high"),
            width=8,
            steps=LOW_BOUND,
            decimals=1,
        ),
        number(
            "Baseline",
            "Alignment of a judge that always returns the more frequent human result. A metric that is not clearly "
            "above it carries no information.",
            "percentunit",
            (one("baseline_ratio"), "baseline"),
            width=3,
            decimals=1,
        ),
        number(
            "TPR",
            "Share of what people passed that the metric passed too. Low: it is too strict; read the false negatives.",
            "percentunit",
            (one("true_positive_ratio"), "tpr"),
            width=2,
            decimals=0,
        ),
        number(
            "TNR",
            "Share of what people failed that the metric failed too. Low: it is too lenient and passes bad output; "
            "read the false positives.",
            "percentunit",
            (one("true_negative_ratio"), "tnr"),
            width=2,
            steps=RATE_OF_FAILS,
            decimals=0,
        ),
        number(
            "Kappa",
            "Cohen's kappa: agreement beyond chance, from -1 to 1. Near 0 with high alignment: nearly everything "
            "passes, and chance would agree as often.",
            "none",
            (one("kappa", None), "kappa"),
            width=2,
            decimals=2,
        ),
        number(
            "Comparisons",
            "The number of pairs of a rating and a verdict.",
            "short",
            (count_all(), "comparisons"),
            width=2,
        ),
    ]  # fmt: skip


def _others() -> list[object]:
    of_criterion = 'queue="$queue",criterion="$criterion"'

    def each(name: str, window: str = "all") -> str:
        return f'max by (metric) (eval_alignment_{name}{{{of_criterion},window="{window}"}})'

    columns = {
        "State": f"max by (metric, state) (eval_alignment_gate{{{of_criterion}}})",
        "Alignment": each("agreement_ratio"),
        "Low": each("agreement_ci_low"),
        "High": each("agreement_ci_high"),
        "Baseline": each("baseline_ratio"),
        "TPR": each("true_positive_ratio"),
        "TNR": each("true_negative_ratio"),
        "7 days": each("agreement_ratio", "7d"),
        "Comparisons": f"sum by (metric) (max by (metric, outcome) (eval_alignment_comparisons{{{of_criterion}}}))",
    }
    row = "__data.fields.metric"
    return [
        grid(
            "All metrics of this criterion",
            "The best first. A metric links to its dashboard.",
            "percentunit",
            columns,
            keys=("metric", "state"),
            sort=("Low", True),
            hidden=("Value #A",),
            width=14,
            properties={
                "metric": (("links", [data_link("Show this metric", queue_url("queue", "criterion", row))]),),
                "state": (("mappings", [value_map(GATE_STATES)]), COLOURED),
                "Low": (threshold_property(LOW_BOUND), COLOURED, ("decimals", 1)),
                "TNR": (threshold_property(RATE_OF_FAILS), COLOURED, ("decimals", 1)),
                "Comparisons": (("unit", "short"), ("decimals", 0)),
            },
        ),
        series(
            "Metrics of this criterion, last 30 days",
            "Alignment of every metric on one scale. If all fall together, the items or the annotators changed, not a "
            "judge.",
            "percentunit",
            (each("agreement_ratio", "30d"), "{{metric}}"),
            width=10,
            height=10,
            lowest=None,
            highest=1,
        ),
    ]


def _segments() -> list[object]:
    def each(name: str) -> str:
        return f"max by (tag, value) (eval_alignment_segment_{name}{{{PAIR}}})"

    columns = {
        "Worse than the rest": each("worse"),
        "Alignment": each("agreement_ratio"),
        "Low": each("agreement_ci_low"),
        "High": each("agreement_ci_high"),
        "Items": each("items"),
    }
    return [
        grid(
            "Alignment by segment",
            "Alignment by the values of the tags that the setting `segment_gauges` names. Worse than the rest: by "
            f"Fisher's exact test.{alerts('SegmentWorse')}",
            "percentunit",
            columns,
            keys=("tag", "value"),
            sort=("Low", False),
            width=24,
            properties={
                "Worse than the rest": (("unit", "bool_yes_no"), threshold_property(NONE_IS_GOOD), COLOURED),
                "Low": (threshold_property(LOW_BOUND), COLOURED, ("decimals", 1)),
                "Items": (("unit", "short"), ("decimals", 0)),
            },
        ),
    ]


def build(page: str = PAGE) -> models.Dashboard:
    """The dashboard."""
    every = "eval_alignment_comparisons"
    return frame(
        QUEUE_UID,
        "Eval Alignment / One queue",
        "How one metric compares with people on one criterion of a queue. Choose queue, criterion and metric above.",
        (
            ("Now", _now()),
            ("Alignment over time", pair.alignment()),
            ("Direction of errors", pair.direction()),
            ("Counts", pair.counts()),
            ("Recent labels, new judge versions", pair.fresh()),
            ("Segments", _segments()),
            ("Other metrics of the criterion", _others()),
        ),
        variables=(
            names_of("queue", every, "Queue"),
            names_of("criterion", f'{every}{{queue="$queue"}}', "Criterion"),
            names_of("metric", f'{every}{{queue="$queue",criterion="$criterion"}}', "Metric"),
        ),
        since="now-30d",
        alerting=('queue="$queue"',),
        page=page,
    )
