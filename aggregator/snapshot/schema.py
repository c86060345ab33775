"""The snapshot document as types: one queue, everything the page shows. Schemas are derived from these.

`null` means undefined, and the object's own `undefined` names the field and the reason. Shares are in 0..1.
Fields are only ever added: a removed or retyped field is a new schema.
"""

from inspect import cleandoc
from typing import Any, Final, Literal, TypedDict

import msgspec

from aggregator.days import Window
from aggregator.policy import Policy
from aggregator.statistics.confusion import Undefined
from aggregator.statistics.gate import Gate, Obstacle

SCHEMA_NAME: Final = "alignment.snapshot.v2"

Verdicts = TypedDict("Verdicts", {"pass": int, "fail": int})
"""Comparisons by result."""

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
"""Comparisons by what people gave and what the metric said."""


class JudgeDocument(TypedDict):
    """A judge version's own counts; `superseded` of them where it is not the item's latest."""

    tp: int
    fn: int
    tn: int
    fp: int
    superseded: int


class MetricDocument(TypedDict):
    """A criterion compared with a metric. Intervals are Wilson 95 % on `items_compared`.

    From `evaluated` to `waiting`: over all items of the queue, annotated or not; null without queue items.
    `evaluated` (those with a verdict), `errored` and `skipped` are of the window, `waiting` is the present.
    """

    metric: str
    comparisons: int
    misaligned: int
    tp: int
    fn: int
    tn: int
    fp: int
    alignment: float | None
    alignment_low: float | None
    alignment_high: float | None
    baseline: float | None
    kappa: float | None
    ac1: float | None
    mcc: float | None
    alpha: float | None
    bias: float | None
    tpr: float | None
    tpr_low: float | None
    tpr_high: float | None
    tnr: float | None
    tnr_low: float | None
    tnr_high: float | None
    ppv: float | None
    ppv_low: float | None
    ppv_high: float | None
    npv: float | None
    npv_low: float | None
    npv_high: float | None
    f1: float | None
    balanced_accuracy: float | None
    items_compared: int
    labels_needed: int | None
    gate_state: Gate | None
    gate_reasons: list[Obstacle]
    evaluated: int | None
    pass_rate: float | None
    errored: int | None
    skipped: int | None
    waiting: int | None
    off_topic: bool
    undefined: dict[str, Undefined]
    ratings: Ratings
    judges: dict[str, JudgeDocument]


class CriterionDocument(TypedDict):
    """One criterion. Its own figures sum on-topic metrics; `metrics` lists the off-topic ones too."""

    criterion: str
    annotations: int
    annotations_contributing: int
    items_compared: int
    comparisons: int
    misaligned: int
    alignment: float | None
    human: Verdicts
    metric: Verdicts
    undefined: dict[str, Undefined]
    metrics: list[MetricDocument]


class Cards(TypedDict):
    """The whole queue, over on-topic pairs. `criteria`: those annotated; `metrics`: those compared.

    The last four are the funnel of the queue's items at present, null without queue items: all of them,
    those no metric has said anything of, those with failures only, and those nobody annotated.
    """

    items_compared: int
    items_annotated: int
    annotations: int
    annotations_contributing: int
    comparisons: int
    misaligned: int
    alignment: float | None
    alignment_low: float | None
    alignment_high: float | None
    criteria: int
    metrics: int
    items_queued: int | None
    items_waiting_evaluation: int | None
    items_errored: int | None
    items_waiting_annotation: int | None
    undefined: dict[str, Undefined]


class SnapshotDocument(TypedDict):
    """One queue in one window, at the ledger positions given (partition to offset)."""

    schema: Literal["alignment.snapshot.v2"]
    queue: str
    as_of: str
    revision: int
    ledger: str
    positions: dict[str, int]
    policy: Policy
    pass_stars: int
    window: Window
    cards: Cards
    criteria: list[CriterionDocument]


def json_schema(ref_template: str = "#/$defs/{name}") -> tuple[dict[str, Any], dict[str, Any]]:
    """JSON Schema of the document, and of its parts by name; `ref_template` says where the parts stand."""
    (schema,), parts = msgspec.json.schema_components([SnapshotDocument], ref_template=ref_template)
    for part in parts.values():
        if "description" in part:
            part["description"] = cleandoc(part["description"])
    return schema, parts
