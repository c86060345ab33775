"""One sentence about each heading and term of the page, with the place that explains it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Help:
    """What a question mark shows, and where it leads."""

    sentence: str
    href: str


def _statistics(anchor: str, sentence: str) -> Help:
    return Help(sentence, f"/statistics#{anchor}")


HELP: Final[Mapping[str, Help]] = {
    "All numbers": _statistics(
        "numbers-of-a-criterion-and-metric",
        "Each of these numbers with its formula, an example, and when it is undefined.",
    ),
    "Alignment": _statistics(
        "alignment-alignment",
        "How often metrics and people agree: the share of comparisons in which both pass or both fail the item.",
    ),
    "Alpha": _statistics(
        "human-agreement-agreement-kappa-alpha-alpha_ordinal-headroom",
        "Agreement of all annotators beyond chance: 0 is chance, 1 is perfect.",
    ),
    "Alternative annotator test": _statistics(
        "alternative-annotator-test",
        "Leaves out each person in turn, and compares the person and the metric with the others.",
    ),
    "Annotators": _statistics(
        "annotators-and-disagreements",
        "How often each person agrees with the others about the same items, and who is stricter.",
    ),
    "Area under ROC": _statistics(
        "threshold-what-if-cuts-auc-best-cuts",
        "How well the scores separate what people pass from what they fail: 0.5 is chance, 1 is perfect.",
    ),
    "Bias": _statistics(
        "bias-bias", "How much more often the metric passes items than people do. Below 0 it passes fewer."
    ),
    "Calibration": _statistics(
        "calibration-brier-calibration_error",
        "Scores as probabilities: of the items with a score of about 0.8, people should pass about 80%.",
    ),
    "Comparison": _statistics("comparisons", "One person's rating of an item, set against one metric's verdict on it."),
    "Confusion matrix": _statistics(
        "notation", "Counts of the four combinations of pass and fail. What people answered is taken as the truth."
    ),
    "Constant judge": _statistics(
        "baseline-baseline",
        "How often a judge that always returns people's most common answer would agree: the baseline. A useful metric "
        "is above.",
    ),
    "Corrected pass rate": _statistics(
        "corrected-pass-rate-corrected",
        "What people would pass of all items, estimated from what the metric passes and its known errors.",
    ),
    "Criterion": Help("The question that people answer about an item, such as helpfulness.", "/glossary#criterion"),
    "Error side": _statistics(
        "bias-bias",
        "Named where the errors on one side are more than chance explains: the exact binomial (McNemar) test, p below "
        "0.05.",
    ),
    "Fails found": _statistics(
        "true-negative-rate-tnr", "Of the items that people fail, the share that the metric fails too."
    ),
    "Frequent words": _statistics(
        "frequent-words-of-explanations-and-reasons",
        "Counted in the newest 500 misaligned comparisons and the newest 500 aligned ones, and ordered by log-odds.",
    ),
    "Gate": _statistics(
        "gate-gate_state-gate_reasons",
        "Whether the metric may stand in for people: how often they agree, on how many items, and the fails it finds.",
    ),
    "Headroom": _statistics(
        "human-agreement-agreement-kappa-alpha-alpha_ordinal-headroom",
        "How much more often two people agree than this metric and a person. Near 0 there is nothing to gain.",
    ),
    "Human ceiling": _statistics(
        "human-agreement-agreement-kappa-alpha-alpha_ordinal-headroom",
        "How often two people give the same answer about an item.",
    ),
    "Interval": _statistics(
        "intervals-and-distinct-items",
        "The range in which the rate lies with 95% confidence (Wilson). More annotated items make it narrower.",
    ),
    "Item": Help(
        "What people and metrics judge: a request to the application, a step of it, or a conversation.",
        "/glossary#item",
    ),
    "Judge version": _statistics(
        "judge-versions-mcnemars-exact-test",
        "A metric with another model, prompt or threshold is a new version, with numbers of its own. Two are compared "
        "by McNemar's exact test on the items that both judged.",
    ),
    "Kappa": _statistics(
        "cohens-kappa-kappa",
        "Agreement beyond chance: 0 is what chance alone would give, 1 is perfect.",
    ),
    "Labels needed": _statistics(
        "labels-needed-labels_needed",
        "How many more annotated items it takes to improve the gate state or, once trusted, to narrow the interval.",
    ),
    "Level": Help(
        "A trace is one request to the application with all its steps, a span is one of these steps, and a thread is a "
        "conversation of several requests.",
        "/glossary#item",
    ),
    "Metric": Help("A named automatic evaluation that passes or fails items, usually by an LLM.", "/glossary#metric"),
    "Over time": _statistics(
        "time-trend-and-drop-alert",
        "Alignment of each day and of the seven days up to it, with the days on which a judge version changed.",
    ),
    "Off topic": Help(
        "The settings do not pair this criterion and metric: counted, and left out of findings and the gate.",
        "/glossary#off-topic",
    ),
    "Passes found": _statistics(
        "true-positive-rate-tpr", "Of the items that people pass, the share that the metric passes too."
    ),
    "Policy": Help(
        "The rule for several annotations of one item and criterion: each counts, only the latest, or the median of "
        "their ratings as one.",
        "/glossary#policy",
    ),
    "Queue item": Help(
        "An item is announced when an event puts it into the queue, before anybody annotates it.",
        "/glossary#queue-item",
    ),
    "Row": _statistics(
        "what-counts",
        "The newest event of a person about a criterion, or of a judge version; it replaces earlier ones.",
    ),
    "Segments": _statistics(
        "segments-fishers-exact-test",
        "The metric's comparisons by the value of a tag, or by level or judge version, each against the rest: Fisher's "
        "exact test with Holm's correction.",
    ),
    "Side by side": _statistics(
        "judge-versions-mcnemars-exact-test",
        "Which of two judges people agree with more often, on the items that both judged: McNemar's exact test.",
    ),
    "Tag": _statistics(
        "segments-fishers-exact-test",
        "A property of an item as name and value, such as language: de. The sender of events adds it.",
    ),
    "Threshold what-if": _statistics(
        "threshold-what-if-cuts-auc-best-cuts",
        "The counts that another threshold would have given for the same scores.",
    ),
    "What counts": _statistics(
        "what-counts", "Shows by example which annotations and evaluations become which comparisons."
    ),
    "What to look at first": _statistics(
        "bias-bias",
        "Metrics that err on one side more often than chance explains, or that are no better than a constant judge.",
    ),
}
