"""The findings about one metric in words, as the page states them."""

from collections.abc import Iterator

from aggregator.snapshot.schema import MetricDocument
from aggregator.statistics.confusion import Undefined
from aggregator.statistics.gate import Gate, Purpose
from eval_alignment.terminal_text import percent, printable
from sinks.page.wording import judge_failures, lean, why


def sentences(metric: MetricDocument) -> Iterator[str]:
    """The direction of errors, the items without a verdict, the judge version that the gate is about, and the labels
    still needed.

    Names are escaped for a terminal. A metric that is off topic has no gate, so no labels are stated.
    """
    direction = lean(metric)
    yield f"{direction.head} {direction.rest}".strip()
    if (failures := judge_failures(metric)) is not None:
        yield failures
    judge = metric["newest_judge"]
    if judge is not None and (metric["judge_versions"] > 1 or not judge["comparisons"]):
        name = printable(judge["judge"]) or "unnamed"
        numbers = f"{judge['comparisons']} comparisons, alignment {percent(judge['alignment'])}"
        labelled = numbers if judge["comparisons"] else "no comparisons yet"
        versions = metric["judge_versions"]
        subject = f"Newest of {versions} judge versions" if versions > 1 else "Newest judge version"
        yield f"{subject}: {name}, since {judge['since'][:10]}, {labelled}."
    if not metric["off_topic"]:
        yield from _labels(metric)


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
    yield f"Needs {needed} more label{'' if needed == 1 else 's'} {purpose}."
