"""The snapshot document as types. JSON Schema, OpenAPI and docs/snapshot.md are derived from them.

Null means undefined: the object's `undefined` has the field and the reason. Fields may be added; a field that is
removed or changes its type makes a new schema.
"""

from inspect import cleandoc
from typing import Any, Final, Literal, NotRequired, TypedDict

import msgspec

from aggregator.days import Window
from aggregator.policy import Policy
from aggregator.statistics.confusion import Undefined
from aggregator.statistics.gate import Gate, Obstacle, Purpose

SCHEMA_NAME: Final = "alignment.snapshot.v2"

Verdicts = TypedDict("Verdicts", {"pass": int, "fail": int})
"""Comparisons by verdict."""

Ratings = TypedDict(
    "Ratings",
    {
        "up": Verdicts,
        "down": Verdicts,
        "1": Verdicts,
        "2": Verdicts,
        "3": Verdicts,
        "4": Verdicts,
        "5": Verdicts,
    },
)
"""Comparisons by rating (thumbs or stars) and verdict of the metric."""


class JudgeDocument(TypedDict):
    """Counts of one judge version, over all items that it judged."""

    tp: int
    """Human pass, metric pass."""
    fn: int
    """Human pass, metric fail."""
    tn: int
    """Human fail, metric fail."""
    fp: int
    """Human fail, metric pass."""
    superseded: int
    """Those of the comparisons in which another version has the item's latest verdict."""
    items_compared: int
    """Distinct items among the comparisons of the version."""


class NewestJudgeDocument(TypedDict):
    """The newest judge version in use, or the requested one, on its own comparisons: what the gate decides on."""

    judge: str
    """Judge version; empty where events carry none."""
    since: str
    """Time of its first verdict on any item, RFC 3339."""
    comparisons: int
    """Its comparisons, whether or not it has the item's latest verdict."""
    items_compared: int
    """Distinct items among them."""
    tp: int
    """Human pass, metric pass."""
    fn: int
    """Human pass, metric fail."""
    tn: int
    """Human fail, metric fail."""
    fp: int
    """Human fail, metric pass."""
    alignment: float | None
    """Share of its comparisons in which people and metric agree, 0 to 1."""
    alignment_low: float | None
    """Lower bound of the Wilson 95 % interval of `alignment`."""
    alignment_high: float | None
    """Upper bound of the Wilson 95 % interval of `alignment`."""
    gate_low: float | None
    """Lower bound of `alignment` that the gate compares with its limits; see the setting `gate_looks`."""
    baseline: float | None
    """Alignment of a constant judge on the same comparisons, 0 to 1."""
    bias: float | None
    """Pass rate of the version minus pass rate of people, -1 to 1. Above 0 the version is lenient."""
    tpr: float | None
    """True positive rate: share of the human passes that the version passes."""
    tnr: float | None
    """True negative rate: share of the human fails that the version fails."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


class MetricDocument(TypedDict):
    """One criterion compared with one metric. Intervals are Wilson 95 % intervals over `items_compared`."""

    metric: str
    """Name of the metric."""
    comparisons: int
    """Number of comparisons: an annotation with the item's latest verdict of the metric."""
    misaligned: int
    """Comparisons in which people and metric disagree: `fn + fp`."""
    tp: int
    """Human pass, metric pass."""
    fn: int
    """Human pass, metric fail."""
    tn: int
    """Human fail, metric fail."""
    fp: int
    """Human fail, metric pass."""
    alignment: float | None
    """Share of comparisons in which people and metric agree, 0 to 1."""
    alignment_low: float | None
    """Lower bound of the interval of `alignment`."""
    alignment_high: float | None
    """Upper bound of the interval of `alignment`."""
    baseline: float | None
    """Alignment of a constant judge that always returns the more frequent human verdict, 0 to 1."""
    kappa: float | None
    """Cohen's kappa, -1 to 1."""
    ac1: float | None
    """Gwet's AC1, -1 to 1."""
    mcc: float | None
    """Matthews correlation coefficient, -1 to 1."""
    alpha: float | None
    """Krippendorff's alpha, -1 to 1."""
    bias: float | None
    """Pass rate of the metric minus pass rate of people, -1 to 1. Above 0 the metric is lenient."""
    tpr: float | None
    """True positive rate: share of the human passes that the metric passes."""
    tpr_low: float | None
    """Lower bound of the interval of `tpr`."""
    tpr_high: float | None
    """Upper bound of the interval of `tpr`."""
    tnr: float | None
    """True negative rate: share of the human fails that the metric fails."""
    tnr_low: float | None
    """Lower bound of the interval of `tnr`."""
    tnr_high: float | None
    """Upper bound of the interval of `tnr`."""
    ppv: float | None
    """Positive predictive value: share of the metric's passes that people pass."""
    ppv_low: float | None
    """Lower bound of the interval of `ppv`."""
    ppv_high: float | None
    """Upper bound of the interval of `ppv`."""
    npv: float | None
    """Negative predictive value: share of the metric's fails that people fail."""
    npv_low: float | None
    """Lower bound of the interval of `npv`."""
    npv_high: float | None
    """Upper bound of the interval of `npv`."""
    f1: float | None
    """Harmonic mean of `ppv` and `tpr`, 0 to 1."""
    balanced_accuracy: float | None
    """Mean of `tpr` and `tnr`, 0 to 1."""
    items_compared: int
    """Distinct items among the comparisons: the n of all intervals."""
    annotated_errored: int
    """Annotated items without a verdict of the metric because its judge reported an error. They are never a fail."""
    annotated_skipped: int
    """Annotated items without a verdict of the metric because its judge skipped them."""
    newest_judge: NewestJudgeDocument | None
    """The newest judge version in use; the gate and `labels_needed` are about it."""
    judge_versions: int
    """Judge versions among the comparisons; with more than one the numbers of this object mix them."""
    labels_needed: int | None
    """Items that people still have to annotate, at the rates seen so far."""
    labels_needed_for: Purpose | None
    """What they are needed for: to change the state of the gate, or to narrow the interval of alignment."""
    gate_state: Gate | None
    """State of the gate: whether the metric may stand in for people."""
    gate_reasons: list[Obstacle]
    """Reasons why the state is not `trusted`; empty when it is."""
    evaluated: int | None
    """Items of the queue, annotated or not, with a verdict of the metric in the window."""
    pass_rate: float | None
    """Share of `evaluated` that the metric passes, 0 to 1."""
    errored: int | None
    """Items of the queue on which the metric ended with an error in the window."""
    skipped: int | None
    """Items of the queue that the metric skipped in the window."""
    waiting: int | None
    """Items of the queue without any evaluation of the metric, at present."""
    off_topic: bool
    """Whether the setting `criterion_metrics` excludes the metric from the criterion."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""
    ratings: Ratings
    """Comparisons by rating and verdict of the metric."""
    judges: dict[str, JudgeDocument]
    """Counts of each judge version, by its name: at most 200, those with most comparisons, and the newest. Those of all
    pairs of a document have 512 KiB together, in equal shares. `judge_versions` is the number of all.
    """


class CriterionDocument(TypedDict):
    """One criterion. Its counts are sums over its on-topic metrics; `metrics` lists the off-topic ones too."""

    criterion: str
    """Name of the criterion."""
    pass_stars: NotRequired[int]
    """Stars from which a rating is a human pass, where it is not the number of the document."""
    annotations: int
    """Annotations that are not deleted and whose item is in the queue."""
    annotations_contributing: int
    """Those of the annotations with at least one comparison."""
    items_compared: int
    """Distinct items with at least one comparison."""
    comparisons: int
    """Number of comparisons, over all metrics on topic."""
    misaligned: int
    """Comparisons in which people and metric disagree."""
    alignment: float | None
    """Share of comparisons in which people and metric agree, 0 to 1."""
    human: Verdicts
    """Comparisons by verdict of the person."""
    metric: Verdicts
    """Comparisons by verdict of the metric."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""
    metrics: list[MetricDocument]
    """The metrics that are compared with the criterion, failed on its annotated items, or evaluated queue items. All
    criteria together list at most 1,000, those with most comparisons.
    """
    metrics_left_out: NotRequired[int]
    """Number of metrics that are not listed. Their comparisons are in the sums of the criterion and of the cards.
    Earlier releases list all, and do not send it.
    """


class Cards(TypedDict):
    """The whole queue, over on-topic pairs of criterion and metric."""

    items_compared: int
    """Distinct items with at least one comparison."""
    items_annotated: int
    """Distinct items with at least one annotation."""
    annotations: int
    """Annotations that are not deleted and whose item is in the queue."""
    annotations_contributing: int
    """Those of the annotations with at least one comparison."""
    comparisons: int
    """Number of comparisons, over all criteria and metrics on topic."""
    misaligned: int
    """Comparisons in which people and metric disagree."""
    alignment: float | None
    """Share of comparisons in which people and metric agree, 0 to 1."""
    alignment_low: float | None
    """Lower bound of the interval of `alignment`."""
    alignment_high: float | None
    """Upper bound of the interval of `alignment`."""
    criteria: int
    """Number of criteria with annotations."""
    metrics: int
    """Number of metrics with comparisons."""
    items_queued: int | None
    """Items in the queue, at present."""
    items_waiting_evaluation: int | None
    """Items in the queue without any evaluation, at present."""
    items_errored: int | None
    """Items in the queue whose evaluations all failed or were skipped, at present."""
    items_waiting_annotation: int | None
    """Items in the queue without an annotation, at present."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


class SnapshotDocument(TypedDict):
    """One queue in one window."""

    schema: Literal["alignment.snapshot.v2"]
    """Name of the schema."""
    queue: str
    """Name of the queue."""
    as_of: str
    """Time up to which every partition is complete, RFC 3339: all events that the broker took earlier are processed."""
    revision: int
    """Number of changes of the queue in this view: of two documents the one with more is newer."""
    ledger: str
    """Id of the ledger: documents with different ids cannot be compared by `positions`."""
    positions: dict[str, int]
    """Ledger offset up to which each partition is counted, by partition."""
    policy: Policy
    """Which annotations are compared: `each`, or of a queue, item and criterion the `latest` or the `majority`."""
    pass_stars: int
    """Stars from which a rating is a human pass, unless the criterion has a number of its own."""
    window: Window
    """Days that are counted: UTC days up to today, or all."""
    cards: Cards
    """Numbers of the whole queue."""
    criteria: list[CriterionDocument]
    """Numbers of each criterion."""
    judge: NotRequired[str]
    """Judge version whose current verdicts alone are compared. Only there where the request names one. Annotations,
    criteria and people are of all versions; numbers of queue items are null. The gate decides on this version.
    """
    rebuilding: NotRequired[int]
    """Offsets of the evaluations topic that workers read again, because their disks lack them: until then, comparisons
    of items that became known meanwhile may be missing. Only there while they do.
    """


def json_schema(ref_template: str = "#/$defs/{name}") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the JSON Schema of the document, and of its parts by name. `ref_template` is the reference to a part."""
    (schema,), parts = msgspec.json.schema_components([SnapshotDocument], ref_template=ref_template)
    for part in parts.values():
        if "description" in part:
            part["description"] = cleandoc(part["description"])
    return schema, parts
