"""The panels about one criterion and metric over time."""

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import dashboard as models

from monitoring.grafana.frame import page_url
from monitoring.grafana.panels import (
    AMBER,
    BLUE,
    EMBER,
    GATE_STATES,
    GREY,
    LIMITS,
    TEAL,
    Steps,
    alerts,
    data_link,
    link,
    number,
    series,
    states,
)
from monitoring.grafana.promql import CRITERION, PAIR, count, count_all, one, recent


def _band(title: str, description: str, *bounds: str, limit: Steps | None = None) -> timeseries.Panel:
    """Alignment with its interval and the baseline; `bounds` are alignment, low, high, baseline."""
    names = ("alignment", "low", "high", "baseline")
    panel = series(
        title,
        description,
        "percentunit",
        *zip(bounds, names, strict=True),
        height=9,
        lowest=None,
        highest=1,
        limit=limit,
        colours={"alignment": TEAL},
    )
    quiet: list[models.DynamicConfigValue] = [
        models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": TEAL}),
        models.DynamicConfigValue("custom.lineWidth", 0),
        models.DynamicConfigValue("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}),
    ]
    filled = [
        models.DynamicConfigValue("custom.fillBelowTo", "low"),
        models.DynamicConfigValue("custom.fillOpacity", 18),
    ]
    dashed = [
        models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": GREY}),
        models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
    ]
    panel.override_by_name("low", quiet).override_by_name("high", [*quiet, *filled])
    return panel.override_by_name("baseline", dashed).links([link("Open the queue on the page", page_url("queue"))])


def alignment() -> list[object]:
    """Alignment over time, and drops."""
    drop = f"max(pair:eval_alignment_newest_judge_agreement_ratio:drop{{{PAIR}}})"
    chance = f"2 * max(pair:eval_alignment_newest_judge_agreement_ratio:drop_half_width{{{PAIR}}})"
    baseline = f"max(pair:eval_alignment_newest_judge_window_comparisons:baseline_ratio{{{PAIR}}})"
    return [
        _band(
            "Alignment, all days",
            "The band is the 95 % interval; the dashed line is the baseline. Where they overlap, the metric is not "
            "shown to be better than the baseline.",
            *(one(name) for name in ("agreement_ratio", "agreement_ci_low", "agreement_ci_high", "baseline_ratio")),
        ),
        _band(
            "Alignment of the newest judge version, last 30 days",
            "The last 30 days. An alert fires when the whole band is below the limit or the baseline: do not use the "
            "metric as a gate, and read the disagreements." + alerts("Low", "BelowBaseline"),
            *(
                one(f"newest_judge_{name}", "30d")
                for name in ("agreement_ratio", "agreement_ci_low", "agreement_ci_high")
            ),
            baseline,
            limit=((None, "transparent"), (LIMITS.probation_low, GREY)),
        ),
        series(
            "Recent days and all days",
            "Alignment over 7 days, 30 days and all days. When the 7-day line leaves the others, something changed: "
            "the judge, the prompt or the items. The page compares judge versions. A metric is not expected to agree "
            "with people more often than they agree among themselves.",
            "percentunit",
            (one("agreement_ratio"), "all days"),
            (one("agreement_ratio", "30d"), "30 days"),
            (one("agreement_ratio", "7d"), "7 days"),
            (f"max(eval_alignment_human_agreement_ratio{{{CRITERION}}})", "people among themselves"),
            lowest=None,
            highest=1,
            colours={"all days": GREY, "30 days": BLUE, "7 days": AMBER, "people among themselves": TEAL},
        ),
        series(
            "Drop since last week",
            "Alignment of the last 5 days below that of the 30 days that ended a week ago, and twice the half width of "
            "the drop's 95 % interval. The alert fires while the drop is higher: compare judge versions on the page."
            + alerts("Dropped"),
            "percentunit",
            (drop, "drop"),
            (chance, "twice the half width"),
            colours={"drop": EMBER, "twice the half width": GREY},
        ),
    ]


def direction() -> list[object]:
    """The direction of the metric's errors."""
    return [
        series(
            "True positive and true negative rate",
            "TPR is low when the metric is too strict, TNR when it is too lenient. Move the threshold, or improve the "
            "judge's prompt. The dashed line is the gate's limit for TNR.",
            "percentunit",
            (one("true_positive_ratio"), "tpr"),
            (one("true_negative_ratio"), "tnr"),
            (one("true_positive_ratio", "7d"), "tpr, 7 days"),
            (one("true_negative_ratio", "7d"), "tnr, 7 days"),
            width=8,
            limit=((None, "transparent"), (LIMITS.trusted_tnr, GREY)),
            highest=1,
            colours={"tpr": TEAL, "tnr": EMBER, "tpr, 7 days": BLUE, "tnr, 7 days": AMBER},
        ),
        series(
            "Upper bounds, last 30 days",
            "Upper bounds of the 95 % intervals of TPR and TNR. Below the dashed line, the metric fails good output "
            "(TPR) or passes bad output (TNR), with 95 % confidence." + alerts("TooStrict", "TooLenient"),
            "percentunit",
            (recent("wilson_high", "true_positive"), "tpr, upper bound"),
            (recent("wilson_high", "true_negative"), "tnr, upper bound"),
            width=8,
            limit=((None, "transparent"), (LIMITS.trusted_tnr, GREY)),
            highest=1,
            colours={"tpr, upper bound": TEAL, "tnr, upper bound": EMBER},
        ),
        series(
            "Agreement beyond chance",
            "Cohen's kappa and the Matthews correlation coefficient, from -1 to 1; 0 is chance. Where a line ends, the "
            "value is undefined: people or metric gave only one result.",
            "none",
            (one("kappa", None), "kappa"),
            (one("mcc", None), "mcc"),
            width=8,
            highest=1,
            colours={"kappa": TEAL, "mcc": BLUE},
        ),
    ]


def counts() -> list[object]:
    """The counts from which the rates are computed."""
    cells = series(
        "Cells",
        "Comparisons by outcome, with people as the reference. The false ones link to their items. Deleted ratings "
        "reduce the counts.",
        "short",
        (count("tp"), "tp, both pass"),
        (count("tn"), "tn, both fail"),
        (count("fn"), "fn, too strict"),
        (count("fp"), "fp, too lenient"),
        stacked=True,
        colours={"tp, both pass": TEAL, "tn, both fail": BLUE, "fn, too strict": AMBER, "fp, too lenient": EMBER},
    )  # fmt: skip
    for legend, outcome in (("fn, too strict", "fn"), ("fp, too lenient", "fp")):
        items = page_url("queue", "/items", criterion="criterion", metric="metric") + f"&outcome={outcome}"
        opened = [data_link("Read these items on the page", items)]
        cells.override_by_name(legend, [models.DynamicConfigValue("links", opened)])
    funnel = 'max(eval_alignment_annotations{queue="$queue",criterion="$criterion",state="%s"})'
    # One number for each state, so that they share one row.
    held = " or ".join(
        f'max(eval_alignment_gate{{{PAIR},state="{name}"}}) * {place}' for place, name in enumerate(GATE_STATES)
    )
    return [
        cells,
        series(
            "Annotations, compared and waiting",
            "Current annotations of this criterion. Those that wait have no verdict of any metric on their item: "
            "evaluate the items that people annotate.",
            "short",
            (funnel % "contributing", "compared"),
            (funnel % "not_contributing", "waiting for a verdict"),
            width=6,
            stacked=True,
            colours={"compared": TEAL, "waiting for a verdict": GREY},
        ),
        states(
            "Gate state over time",
            "The state of the gate. If it alternates, alignment is close to a limit: annotate more items.",
            (held, "state"),
            words={str(place): shown for place, shown in enumerate(GATE_STATES.values())},
            width=6,
        ),
    ]  # fmt: skip


def fresh() -> list[object]:
    """Recent labels, and labels of the newest judge version."""
    window = 'sum(max by (outcome) (eval_alignment_newest_judge_window_comparisons{%s,window="30d"}))'
    judge = 'max(eval_alignment_newest_judge_%s{metric="$metric"})'
    return [
        series(
            "Recent comparisons",
            "Comparisons of the last 30 days and of all days. Without recent ones, the numbers describe the past: have "
            "people annotate a sample." + alerts("StaleLabels"),
            "short",
            (count_all(), "all days"),
            (window % PAIR, "last 30 days"),
            (f'max(eval_alignment_newest_judge_window_items{{{PAIR},window="30d"}})', "items, last 30 days"),
            colours={"all days": GREY, "last 30 days": TEAL, "items, last 30 days": BLUE},
        ),
        series(
            "Labels of the newest judge version",
            "Comparisons of the metric's newest judge version, over all queues. If there are few days after it "
            "appeared, the gate is undecided: annotate items that it judged." + alerts("JudgeChanged"),
            "short",
            (judge % "comparisons", "comparisons"),
            width=6,
            colours={"comparisons": TEAL},
        ),
        number(
            "Newest judge version since",
            "Time of the first verdict of the newest judge version. It may have caused changes since then; the page "
            "compares versions on the same items." + alerts("JudgeChanged"),
            "dateTimeFromNow",
            (f"{judge % 'first_timestamp_seconds'} * 1000", "since"),
            width=6,
            height=8,
        ),
    ]
