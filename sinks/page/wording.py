"""Texts for enumerations and counts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aggregator.names import AlikeNames
from aggregator.policy import Policy
from aggregator.snapshot.schema import MetricDocument, NewestJudgeDocument
from aggregator.statistics.confusion import Outcome, Undefined
from aggregator.statistics.error_side import ErrorSide, error_side
from aggregator.statistics.gate import Gate, GateLimits, Obstacle
from sinks.page.formats import count, decimal, interval, percent, plural, threshold
from sinks.queries.alternative_results import AlternativeAnnotator
from sinks.queries.results import Ceiling, Cut, WaitingTotals, WhatIf

_LISTED: Final = 4
"""Most thresholds or names in a sentence."""
_WHY: Final[Mapping[str, str]] = {
    Undefined.NO_COMPARISONS: "No item has both a human annotation and a current verdict",
    Undefined.NO_HUMAN_PASS: "People passed none of the compared items",
    Undefined.NO_HUMAN_FAIL: "People failed none of the compared items",
    Undefined.NO_METRIC_PASS: "The metric passed none of the compared items",
    Undefined.NO_METRIC_FAIL: "The metric failed none of the compared items",
    Undefined.ONE_CLASS: "People and metric gave every item the same result",
    Undefined.NO_QUEUE_ITEMS: "Available only for queues that receive queue-item events",
    Undefined.ONE_JUDGE: "Not counted by judge version: choose all versions",
    Undefined.NO_VERDICTS: "The metric gave no verdict on any item of the queue",
    Undefined.NO_SCORES: "No compared evaluation has a score",
    Undefined.NO_THRESHOLD: "The evaluations have no threshold",
    Undefined.MIXED_DIRECTIONS: "Higher scores pass in some evaluations, lower ones in others",
    Undefined.NO_PAIRS: "No item was rated by two people",
    Undefined.NO_SHARED_ITEMS: "No item was judged by both versions",
    Undefined.NO_BETTER_THAN_CHANCE: "The metric is no better than chance, so its errors cannot be corrected",
    Undefined.FEW_PAIRS: "Too few items were rated by two people",
    Undefined.HUMANS_DISAGREE: "People agree with each other no better than by chance",
    Undefined.NO_BETTER_CUT: "No threshold is better than the one now and than a constant judge",
    Undefined.TWO_SCALES: "Scores are on two scales, so no threshold suits all of them",
    Undefined.GATE_STAYS: "At the rates seen, no number of labels changes the state of the gate",
    Undefined.NOT_A_PROBABILITY: "Some scores are below 0 or above 1, so they are not probabilities",
    Undefined.FEW_ANNOTATORS: "It takes 3 people who each rated 30 items that others rated too",
    Undefined.FEW_ITEMS: "Fewer than 10 items",
    Undefined.NO_REST: "Too few items are outside this segment",
    Undefined.OFF_TOPIC: "The setting criterion_metrics does not pair this criterion and metric",
}

OUTCOME_NAMES: Final[Mapping[Outcome, str]] = {
    "tp": "True positive",
    "fn": "False negative",
    "fp": "False positive",
    "tn": "True negative",
}
OUTCOME_WORDS: Final[Mapping[Outcome, str]] = {
    "tp": "Human pass, metric pass",
    "fn": "Human pass, metric fail. Too strict",
    "fp": "Human fail, metric pass. Too lenient",
    "tn": "Human fail, metric fail",
}
_CELL_WORDS: Final[Mapping[str, str]] = {
    "tp": "both pass", "fn": "too strict", "fp": "too lenient", "tn": "both fail",
}  # fmt: skip
_POLICY_WORDS: Final[Mapping[str, str]] = {
    Policy.EACH: "Each annotation is compared with each metric",
    Policy.LATEST: "Of the annotations of an item and criterion the newest is compared with each metric",
    Policy.MAJORITY: "The annotations of an item and criterion are compared as one, with the median of their ratings",
}
SEGMENT_WORDS: Final[Mapping[Outcome, str]] = {
    "tp": "pass, humans agree",
    "fp": "pass, humans say fail (too lenient)",
    "fn": "fail, humans say pass (too strict)",
    "tn": "fail, humans agree",
}


def why(reason: str) -> str:
    """The sentence that explains why a number is undefined.

    >>> why("no_human_fail")
    'People failed none of the compared items'
    """
    return _WHY.get(reason) or reason.replace("_", " ").capitalize()


def cell_words(outcome: Outcome) -> str:
    """The cell of a comparison in two words.

    >>> cell_words("fp")
    'too lenient'
    """
    return _CELL_WORDS[outcome]


def policy_words(policy: str) -> str:
    """Which annotations of an item are compared under a policy."""
    return _POLICY_WORDS[policy]


@dataclass(frozen=True, slots=True)
class GateSummary:
    """The state of a gate in words."""

    tone: str
    """Class of the style sheet."""
    label: str
    reasons: str

    @property
    def sentence(self) -> str:
        """Label and reasons."""
        rest = f": {self.reasons[:1].lower()}{self.reasons[1:]}" if self.reasons else ""
        return f"{self.label}{rest}."


def gate_summary(metric: MetricDocument, limits: GateLimits) -> GateSummary:
    """The state of a metric's gate, with the reasons."""
    if metric["gate_state"] is None:
        return GateSummary("undecided", "Off topic", why(Undefined.OFF_TOPIC))
    obstacles = metric["gate_reasons"]
    judge = metric["newest_judge"]
    if judge is None:
        return GateSummary("undecided", "Undecided", why(Undefined.NO_VERDICTS))
    words = judge_version(metric)
    version = f". {words}" if words else ""
    sentences = "; ".join(
        _obstacle(obstacle, judge, limits)
        for obstacle in obstacles
        # One sentence about the interval is enough: the lower of the two limits.
        if obstacle != Obstacle.LOW_BELOW_TRUSTED or Obstacle.LOW_BELOW_PROBATION not in obstacles
    )
    reasons = sentences[:1].upper() + sentences[1:] + version
    match metric["gate_state"]:
        case Gate.TRUSTED:
            low, tnr = percent(judge["gate_low"] or 0), percent(judge["tnr"] or 0)
            return GateSummary("trusted", "Trusted", f"Lower bound {low}, finds {tnr} of human fails{version}")
        case Gate.PROBATION:
            return GateSummary("probation", "Probation", reasons)
        case Gate.NOT_TRUSTED:
            return GateSummary("untrusted", "Not trusted", reasons)
        case _:
            needed = metric["labels_needed"] if Obstacle.FEW_ITEMS in obstacles else None
            label = f"Needs {needed} more label{'' if needed == 1 else 's'}" if needed else "Undecided"
            return GateSummary("undecided", label, reasons)


def isolated(name: str) -> str:
    """A name in a sentence that is one text: characters isolate it, as <bdi> does in the templates."""
    return f"\u2068{name}\u2069"


def judge_version(metric: MetricDocument) -> str:
    """The judge version that the gate is about, and its own numbers; empty where all comparisons are of it."""
    judge = metric["newest_judge"]
    if judge is None or (metric["judge_versions"] <= 1 and judge["comparisons"]):
        return ""
    numbers = "no labels yet"
    if judge["alignment"] is not None:
        numbers = f"agrees on {percent(judge['alignment'])} of {plural(judge['comparisons'], 'comparison')}"
    name = isolated(judge["judge"]) if judge["judge"] else "without a name"
    return f"Judge version {name}, in use since {judge['since'][:10]}, {numbers}"


def _obstacle(obstacle: str, judge: NewestJudgeDocument, limits: GateLimits) -> str:
    low, tnr, baseline = (percent(judge[name] or 0) for name in ("gate_low", "tnr", "baseline"))
    return {
        Obstacle.FEW_ITEMS: f"needs {limits.items} compared items, has {judge['items_compared']}",
        Obstacle.NO_HUMAN_PASS: "people passed none of them, so a metric that is too strict would go unnoticed",
        Obstacle.NO_HUMAN_FAIL: "people failed none of them, so a metric that is too lenient would go unnoticed",
        Obstacle.LOW_BELOW_TRUSTED: f"lower bound {low}, under {percent(limits.trusted_low, 0)}",
        Obstacle.LOW_BELOW_PROBATION: f"lower bound {low}, under {percent(limits.probation_low, 0)}",
        Obstacle.TNR_BELOW_TRUSTED: f"finds {tnr} of human fails, under {percent(limits.trusted_tnr, 0)}",
        Obstacle.NOT_ABOVE_BASELINE: f"no better than the {baseline} of a constant judge",
    }[Obstacle(obstacle)]


@dataclass(frozen=True, slots=True)
class Lean:
    """The direction in which a metric errs."""

    head: str
    rest: str
    """The same in numbers of comparisons."""
    side: str = ""
    """`fn` for too strict, `fp` for too lenient, empty for neither."""


def judge_failures(metric: MetricDocument) -> str | None:
    """The annotated items on which the judge gave no verdict, or None."""
    errored, skipped = metric["annotated_errored"], metric["annotated_skipped"]
    if not errored + skipped:
        return None
    parts = (plural(errored, "error") if errored else "", f"{count(skipped)} skipped" if skipped else "")
    return f"No verdict on {plural(errored + skipped, 'annotated item')}: {', '.join(filter(None, parts))}."


def superseded_words(metric: MetricDocument) -> str | None:
    """Why a metric has no current comparison although the chosen judge version judged annotated items; else None."""
    replaced = sum(judge["superseded"] for judge in metric["judges"].values())
    if metric["comparisons"] or not replaced:
        return None
    return f"Newer verdicts replaced its {plural(replaced, 'comparison')}"


def lean(counts: MetricDocument | NewestJudgeDocument) -> Lean:
    """The direction in which a metric, or one judge version of it, errs."""
    bias, fn, fp = counts["bias"], counts["fn"], counts["fp"]
    if bias is None:
        return Lean("No comparisons yet.", "No item has both an annotation and a verdict.")
    if not fn + fp:
        return Lean("No disagreement.", "")
    match error_side(fn, fp):
        case ErrorSide.TOO_STRICT:
            points = percent(abs(bias))[:-1]
            return Lean("Too strict", f"by {points} points: fails {count(fn)} that humans passed.", "fn")
        case ErrorSide.TOO_LENIENT:
            points = percent(abs(bias))[:-1]
            return Lean("Too lenient", f"by {points} points: passes {count(fp)} that humans failed.", "fp")
    return Lean("No clear direction.", f"{count(fn)} too strict, {count(fp)} too lenient.")


def wrong_share(counts: MetricDocument | NewestJudgeDocument, side: str) -> float:
    """The share of what people failed, or passed, that a metric gets wrong; `side` as for `lean_sentence`."""
    wrong, right = (counts["fn"], counts["tp"]) if side == "fn" else (counts["fp"], counts["tn"])
    return wrong / (wrong + right)


def lean_sentence(counts: MetricDocument | NewestJudgeDocument, side: str) -> str:
    """What a metric does on a side, `fn` or `fp`, on which it has errors."""
    strict = side == "fn"
    wrong, right = (counts["fn"], counts["tp"]) if strict else (counts["fp"], counts["tn"])
    metric_verb, human_verb = ("Fails", "passed") if strict else ("Passes", "failed")
    share = percent(wrong_share(counts, side), 0)
    return f"{metric_verb} {share} of what people {human_verb}: {count(wrong)} of {count(wrong + right)}"


def scale_warning(
    thresholds: Mapping[str, Sequence[float]], two_scales: bool, name: Callable[[str], str] = isolated
) -> str | None:
    """A warning about thresholds and scales that one judge version, or one metric, must not mix; None without.

    Args:
        thresholds: different thresholds by judge version.
        two_scales: whether they, or the scores, look to be on two scales.
        name: makes a name of others safe in the text.
    """
    mixed = {judge: values for judge, values in thresholds.items() if len(values) > 1}
    if not mixed and not two_scales:
        return None
    listed = "; ".join(_thresholds(judge, values, name) for judge, values in (mixed or thresholds).items() if values)
    if two_scales:
        detail = f" ({listed})" if listed else ""
        return f"Two scales of scores or thresholds{detail}. Use a metric of its own for each scale."
    return f"Several thresholds in one judge version ({listed}). Use a new judge version for a new threshold."


def _thresholds(judge: str, values: Sequence[float], name: Callable[[str], str]) -> str:
    shown = ", ".join(map(threshold, values[:_LISTED]))
    more = f" and {count(len(values) - _LISTED)} more" if len(values) > _LISTED else ""
    return f"{shown}{more} in {name(judge) if judge else 'the unnamed version'}"


def what_if_warning(what: WhatIf, name: Callable[[str], str] = isolated) -> str | None:
    """The warning about thresholds and scales of a what-if."""
    return scale_warning({each["judge"]: each["thresholds"] for each in what["judges"]}, what["two_scales"], name)


def alike_names(found: AlikeNames, name: Callable[[str], str] = isolated) -> str:
    """A hint at names that look alike; `name` makes a name of others safe in the text."""
    shown = ", ".join(f"'{name(each)}'" for each in found.names[:_LISTED])
    more = f" and {count(len(found.names) - _LISTED)} more" if len(found.names) > _LISTED else ""
    return f"The {found.kind} {shown}{more} look alike and are counted apart."


def waiting_words(waiting: WaitingTotals, name: Callable[[str], str] = isolated) -> str:
    """What waits for an annotation, and what is missing of it; empty when nothing does. `name` as for `alike_names`."""
    sentences = []
    number, metrics, missing = waiting["evaluations"], waiting["metrics"], waiting["missing"]
    if number:
        of_metrics = f" by {plural(metrics, 'metric')}" if metrics else ""
        items = "its item" if number == 1 else "their items"
        such_as = f", such as {', '.join(map(name, waiting['sample']))}" if waiting["sample"] else ""
        verb = "waits" if number == 1 else "wait"
        sentences.append(f"{plural(number, 'evaluation')}{of_metrics} {verb} for an annotation of {items}{such_as}.")
    if missing:
        verb = "is" if missing == 1 else "are"
        sentences.append(
            f"Up to {plural(missing, 'evaluation')} {verb} missing: the topic no longer had them when a worker read it "
            "again, or the disk of a worker was nearly full."
        )
    return " ".join(sentences)


def rebuilding_words(offsets: int) -> str:
    """That evaluations are read again, and what that means for the numbers."""
    return (
        f"Workers read {plural(offsets, 'offset')} of the evaluations topic again, because their disks lack what waits "
        "there. The numbers are not older because of it. Comparisons of items that were annotated meanwhile may be "
        "missing until it is done."
    )


def is_end_of_scale(what: WhatIf, cut: Cut) -> bool:
    """Whether a threshold passes nothing but perfect scores: then the scores do not separate well."""
    if cut["cut"] is None:
        return True
    ends = [each["cut"] for each in (what["grid"][:1] if what["direction"] == "lower" else what["grid"][-1:])]
    end = ends[0] if ends else None
    return end is not None and (cut["cut"] <= end if what["direction"] == "lower" else cut["cut"] >= end)


def best_threshold(what: WhatIf) -> str | None:
    """The recommended threshold and its gain; None where none is better than now and than a constant judge, or only
    perfect scores would pass.
    """
    best, now = what["recommended"], what["now"]
    if best is None or now is None or is_end_of_scale(what, best):
        return None
    instead = "" if what["threshold"] is None else f" instead of {threshold(what['threshold'])}"
    return (
        f"Best threshold {threshold(best['cut'], what['threshold'])}{instead}: alignment {percent(best['alignment'])} "
        f"instead of {percent(now['alignment'])} on the same {plural(what['scored'], 'comparison')}."
    )


def human_ceiling(ceiling: Ceiling) -> str | None:
    """How often people agree, and what follows; None where no two people rated an item."""
    if ceiling["agreement"] is None or ceiling["agreement_low"] is None or ceiling["agreement_high"] is None:
        return None
    pairs, items = plural(ceiling["pairs"], "pair"), plural(ceiling["items"], "item")
    return (
        f"People agree on {percent(ceiling['agreement'])} "
        f"({interval(ceiling['agreement_low'], ceiling['agreement_high'])}) of {pairs} of ratings on {items} "
        f"by {plural(ceiling['annotators'], 'annotator')}."
        f"{f' {DISAGREEMENT}' if people_disagree(ceiling) else ''}"
    )


def replaces_people(
    answer: AlternativeAnnotator,
    ceiling: Ceiling,
    trusted: Collection[str],
    name: Callable[[str], str] = isolated,
) -> str:
    """The answer to whether a metric may replace one of the annotators, or why it cannot be told.

    Args:
        answer: the test of each metric.
        ceiling: how well the annotators agree with each other.
        trusted: metrics that the gate trusts. The test alone compares a metric with people, who may be wrong too.
        name: as for `alike_names`.
    """
    if people_disagree(ceiling):
        return f"That cannot be told. {DISAGREEMENT}"
    metrics = answer["metrics"]
    tested = [metric for metric in metrics if metric["may_replace"] is not None]
    if not tested:
        reason = Undefined.FEW_ANNOTATORS if metrics else Undefined.NO_PAIRS
        return f"That cannot be told yet. {why(reason)}."
    passed = [metric for metric in tested if metric["may_replace"]]
    untrusted = [metric for metric in passed if metric["metric"] not in trusted]
    groups = (
        ("Yes", [metric for metric in passed if metric["metric"] in trusted]),
        ("As close to people as they are to each other, but not trusted by the gate", untrusted),
        ("No", [metric for metric in tested if not metric["may_replace"]]),
    )
    sentences = []
    for head, these in groups:
        these.sort(key=lambda metric: -(metric["advantage"] or 0))
        listed = ", ".join(
            f"{name(metric['metric'])} (as good as {metric['won']} of {metric['people']} people)"
            for metric in these[:_LISTED]
        )
        more = f" and {count(len(these) - _LISTED)} more" if len(these) > _LISTED else ""
        sentences += [f"{head}: {listed}{more}."] if these else []
        if these is untrusted and these:
            sentences.append(
                "The test compares a metric only with these people. The gate decides whether it may stand in for them."
            )
    return " ".join(sentences)


DISAGREEMENT: Final = (
    "People agree no better than by chance. No metric can be judged on this criterion until its definition is clearer."
)
"""What follows when `people_disagree`."""


def people_disagree(ceiling: Ceiling) -> bool:
    """Whether the annotators of a criterion agree no better than by chance."""
    return any(each["undefined"].get("headroom") is Undefined.HUMANS_DISAGREE for each in ceiling["metrics"])


_KAPPA_WORDS: Final = ((0.0, "poor"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))


def kappa_word(kappa: float) -> str:
    """A word for a kappa. Source: J. R. Landis and G. G. Koch 1977, Biometrics 33:159-174; below 0 is poor."""
    return next((word for most, word in _KAPPA_WORDS if kappa < 0 or (most and kappa <= most)), "almost perfect")


def headroom(value: float) -> str:
    """The distance of a metric from the human ceiling, in a table.

    >>> headroom(0.201), headroom(-0.01)
    ('20.1 pts', 'at ceiling')
    """
    return "at ceiling" if value <= 0 else f"{decimal(100 * value, 1)} pts"
