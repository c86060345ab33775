"""One metric against people: the rows of panels about the chosen pair over time."""

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import dashboard as models

from monitoring.grafana.frame import page_url
from monitoring.grafana.panels import (
    AMBER,
    BLUE,
    EMBER,
    GREY,
    LIMITS,
    TEAL,
    VERDICTS,
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
    """Alignment within its interval, above a constant judge; `bounds` are alignment, low, high, constant judge."""
    names = ("alignment", "low", "high", "constant judge")
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
    return panel.override_by_name("constant judge", dashed).links(
        [link("Open the queue on the page", page_url("queue"))]
    )


def alignment() -> list[object]:
    """How well they agree, over time, and whether it dropped."""
    drop = f"max(pair:eval_alignment_agreement_ratio:drop{{{PAIR}}})"
    chance = f"2 * max(pair:eval_alignment_agreement_ratio:drop_half_width{{{PAIR}}})"
    baseline = f"max(pair:eval_alignment_window_comparisons:baseline_ratio{{{PAIR}}})"
    return [
        _band(
            "Alignment, all days",
            "The band is the 95 % interval; the dashed line is what a constant judge would score. Where they overlap, "
            "the metric has not been shown to be better than it.",
            *(one(name) for name in ("agreement_ratio", "agreement_ci_low", "agreement_ci_high", "baseline_ratio")),
        ),
        _band(
            "Alignment, last 30 days",
            "The days that count for today. Alerts wait until the whole band is below the limit or the constant "
            "judge: then let the metric decide nothing, and read what it gets wrong." + alerts("Low", "BelowBaseline"),
            *(recent(name, "alignment") for name in ("ratio", "wilson_low", "wilson_high")),
            baseline,
            limit=((None, "transparent"), (LIMITS.probation_low, GREY)),
        ),
        series(
            "Recent days against all",
            "The same share over the last 7 and 30 days. When the short one leaves the long one, something changed: a "
            "new judge, a new prompt, other items. The page compares judge versions. A metric is not expected to agree "
            "better with people than they agree among themselves.",
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
            "Drop against the time before last week",
            "By how much the last 5 days are below the 30 days as they stood a week ago, and how much chance explains "
            "twice over. The alert fires while the drop is the higher one: compare judge versions on the page."
            + alerts("Dropped"),
            "percentunit",
            (drop, "drop"),
            (chance, "twice what chance explains"),
            colours={"drop": EMBER, "twice what chance explains": GREY},
        ),
    ]


def direction() -> list[object]:
    """Which way the metric errs."""
    return [
        series(
            "Too strict, or too lenient?",
            "TPR falls when the metric fails what people pass, TNR when it passes what people fail. Move the "
            "threshold, or mend the judge's prompt. The dashed line is what the gate asks of TNR.",
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
            "At best, last 30 days",
            "Upper bounds of TPR and TNR. One below the dashed line says that even at best the metric holds good "
            "output back (TPR) or lets bad output through (TNR)." + alerts("TooStrict", "TooLenient"),
            "percentunit",
            (recent("wilson_high", "true_positive"), "tpr at best"),
            (recent("wilson_high", "true_negative"), "tnr at best"),
            width=8,
            limit=((None, "transparent"), (LIMITS.trusted_tnr, GREY)),
            highest=1,
            colours={"tpr at best": TEAL, "tnr at best": EMBER},
        ),
        series(
            "Beyond chance",
            "Cohen's kappa and Matthews' coefficient, from -1 to 1; 0 is chance. A line that ends is undefined: "
            "people or metric gave only one result.",
            "none",
            (one("kappa", None), "kappa"),
            (one("mcc", None), "mcc"),
            width=8,
            highest=1,
            colours={"kappa": TEAL, "mcc": BLUE},
        ),
    ]


def counts() -> list[object]:
    """What the rates rest on."""
    cells = series(
        "Cells",
        "Comparisons by outcome; people are the truth. Click the false ones to read the items. They fall when people "
        "take ratings back.",
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
    # A number for each verdict, so that they share one row.
    held = " or ".join(
        f'max(eval_alignment_gate{{{PAIR},state="{name}"}}) * {place}' for place, name in enumerate(VERDICTS)
    )
    return [
        cells,
        series(
            "Do annotations reach a comparison?",
            "Standing annotations of this criterion. Those that wait have no verdict of any metric on their item: run "
            "the evaluation on what people annotate.",
            "short",
            (funnel % "contributing", "compared"),
            (funnel % "not_contributing", "waiting for a verdict"),
            width=6,
            stacked=True,
            colours={"compared": TEAL, "waiting for a verdict": GREY},
        ),
        states(
            "Verdict over time",
            "When the gate decided what. A verdict that flickers sits at a limit: annotate more items.",
            (held, "verdict"),
            words={str(place): shown for place, shown in enumerate(VERDICTS.values())},
            width=6,
        ),
    ]  # fmt: skip


def fresh() -> list[object]:
    """Whether labels are of today, and of today's judge."""
    window = 'sum(max by (outcome) (eval_alignment_window_comparisons{%s,window="30d"}))'
    judge = 'max(eval_alignment_newest_judge_%s{metric="$metric"})'
    return [
        series(
            "Fresh labels",
            "Comparisons of the last 30 days beside those of all days. Nothing fresh: what is known of the metric is "
            "about the past; have people annotate a sample." + alerts("StaleLabels"),
            "short",
            (count_all(), "all days"),
            (window % PAIR, "last 30 days"),
            (f'max(eval_alignment_window_items{{{PAIR},window="30d"}})', "items, last 30 days"),
            colours={"all days": GREY, "last 30 days": TEAL, "items, last 30 days": BLUE},
        ),
        series(
            "Labels of the newest judge version",
            "Comparisons of the metric's newest judge version, over all queues. Few, days after it appeared: what is "
            "known is about earlier versions; annotate what it judged." + alerts("JudgeChanged"),
            "short",
            (judge % "comparisons", "comparisons"),
            width=6,
            colours={"comparisons": TEAL},
        ),
        number(
            "Newest judge version since",
            "When the newest judge version gave its first verdict. Numbers that changed since then may be its doing; "
            "the page compares versions on the same items." + alerts("JudgeChanged"),
            "dateTimeFromNow",
            (f"{judge % 'first_timestamp_seconds'} * 1000", "since"),
            width=6,
            height=8,
        ),
    ]
