"""The findings about a criterion and its metrics in words, as the page states them."""

from collections.abc import Iterator

from aggregator.snapshot.schema import MetricDocument
from aggregator.statistics.confusion import Undefined
from aggregator.statistics.gate import Gate, Purpose
from eval_alignment.terminal_text import percent, printable
from sinks.page.formats import plural
from sinks.page.wording import (
    best_threshold,
    headroom,
    human_ceiling,
    judge_failures,
    lean,
    what_if_warning,
    why,
)
from sinks.queries.results import Insights


def ceiling_sentence(insights: Insights | None) -> str | None:
    """How often people agree; None where that is unknown."""
    words = None if insights is None else human_ceiling(insights.ceiling)
    return None if words is None else f"Human ceiling: {words}"


def sentences(metric: MetricDocument, insights: Insights | None = None) -> Iterator[str]:
    """The direction of errors, the items without a verdict, the judge version that the gate is about, the labels still
    needed; with insights mixed scales, the best threshold, and the distance from the human ceiling.

    Names are escaped for a terminal. A metric that is off topic has no gate, so no labels are stated.
    """
    direction = lean(metric)
    yield f"{direction.head} {direction.rest}".strip()
    if (failures := judge_failures(metric)) is not None:
        yield failures
    judge = metric["newest_judge"]
    if judge is not None and (metric["judge_versions"] > 1 or not judge["comparisons"]):
        name = printable(judge["judge"]) or "unnamed"
        numbers = f"{plural(judge['comparisons'], 'comparison')}, alignment {percent(judge['alignment'])}"
        labelled = numbers if judge["comparisons"] else "no comparisons yet"
        versions = metric["judge_versions"]
        subject = f"Newest of {versions} judge versions" if versions > 1 else "Newest judge version"
        yield f"{subject}: {name}, since {judge['since'][:10]}, {labelled}."
    if not metric["off_topic"]:
        yield from _labels(metric)
    if insights is not None:
        yield from _insights(metric["metric"], insights)


def _insights(metric: str, insights: Insights) -> Iterator[str]:
    what = insights.what_ifs.get(metric)
    if what is not None:
        yield from filter(None, (what_if_warning(what, printable), best_threshold(what)))
    for entry in insights.ceiling["metrics"]:
        if entry["metric"] == metric and entry["headroom"] is not None:
            yield f"Headroom to the human ceiling: {headroom(entry['headroom'])}."


def _labels(metric: MetricDocument) -> Iterator[str]:
    needed = metric["labels_needed"]
    if needed is None:
        if (reason := metric["undefined"].get("labels_needed")) is Undefined.GATE_STAYS:
            yield f"{why(reason)}."
        return
    if not needed:
        return
    if metric["labels_needed_for"] is Purpose.INTERVAL:
        purpose = "to narrow the interval"
    else:
        purpose = "to decide the gate" if metric["gate_state"] is Gate.UNDECIDED else "to change the state of the gate"
    yield f"Needs {plural(needed, 'more label')} {purpose}."
