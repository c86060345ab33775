"""What `sinks.queries.deep_dive` answers, as types: everything of the page that one snapshot document does not hold.

`null` means undefined, and the object's own `undefined` names the field and the reason. Shares are in 0..1, days are
UTC days as ISO text. Intervals are 95 %, on distinct items.
"""

from typing import Literal, TypedDict

from aggregator.facts import Direction
from aggregator.statistics.confusion import Undefined

WindowName = Literal["7d", "30d", "90d", "all"]
TrendBasis = Literal["annotation", "publication"]


class Agreed(TypedDict):
    """Some comparisons, at least one: `k` of `n` aligned, on `items` distinct items; the share with its interval."""

    k: int
    n: int
    items: int
    alignment: float
    low: float
    high: float


class TrendDay(Agreed):
    """The comparisons of one day, or (by publication) of all days up to it, as the last document of it had.

    `week`: those of the seven days that end on it, as far as the window reaches; null as published.
    """

    day: str
    week: Agreed | None


class JudgeChange(TypedDict):
    """A new judge version: the day of its first verdict, and the own comparisons of the version before it and of it.

    "First" looks at the verdicts behind the comparisons of the window.
    """

    day: str
    metric: str
    judge: str
    previous: str
    before: Agreed
    after: Agreed


class Trend(TypedDict):
    """Alignment over time, days with comparisons only, oldest first.

    `criterion` null: all of them; `metric` null: all that are on topic. `epochs`, oldest first, are of the metric, or
    of all on-topic ones; none without a criterion.
    """

    queue: str
    criterion: str | None
    metric: str | None
    window: WindowName
    by: TrendBasis
    days: list[TrendDay]
    epochs: list[JudgeChange]


class Cut(TypedDict):
    """What a threshold at `cut` would give: scores on the passing side of it, and at it, pass; null: nothing passes.

    `tpr` over `fpr` is a point of the ROC; those and the balanced accuracy are null when people gave one result only.
    """

    cut: float | None
    tp: int
    fn: int
    tn: int
    fp: int
    alignment: float
    low: float
    high: float
    balanced_accuracy: float | None
    tpr: float | None
    fpr: float | None


Bin = TypedDict("Bin", {"low": float, "high": float, "pass": int, "fail": int})
"""Scores from `low` to below `high` (the last bin: and at it), by what people said."""


class WhatIf(TypedDict):
    """Threshold what-if of a criterion and metric, over the comparisons whose current evaluation has a score.

    The best cuts and the AUC are measured on the comparisons that they are picked from (`in_sample`): expect a little
    less on new ones. They look at every cut. Of equally good cuts the one nearest to `threshold` is named.

    Attributes:
        comparisons: all of the pair; `scored` of them have a score, on `items` distinct items.
        direction: which side passes; null when evaluations differ in it, then there is nothing to sweep.
        threshold: of the newest scored evaluation that has one; `thresholds`: how many different ones there are.
            Null when verdicts came without one.
        now: the verdicts as they are, of the scored comparisons; its `cut` is `threshold`.
        cost: how many false negatives one false positive is worth, for `best_cost`.
        cuts: how many cuts give different counts. `sweep`: all of them, lowest first and the one where nothing passes
            last (direction `higher`) or first (`lower`); an even selection when they are more than 200.
        grid: cuts at even steps over the range of the histogram: a slider's.
        histogram: 25 bins.
    """

    queue: str
    criterion: str
    metric: str
    window: WindowName
    in_sample: Literal[True]
    comparisons: int
    scored: int
    items: int
    direction: Direction | None
    threshold: float | None
    thresholds: int
    now: Cut | None
    cost: float
    auc: float | None
    best_alignment: Cut | None
    best_balanced_accuracy: Cut | None
    best_cost: Cut | None
    cuts: int
    sweep: list[Cut]
    grid: list[Cut]
    histogram: list[Bin]
    undefined: dict[str, Undefined]


class Headroom(TypedDict):
    """A metric's alignment, and how much the human ceiling is above it (below 0: the metric is above)."""

    metric: str
    alignment: float | None
    headroom: float | None
    undefined: dict[str, Undefined]


class Ceiling(TypedDict):
    """How well people agree with each other on the same item and criterion.

    Over all standing annotations of the window, whatever the policy. `pairs` counts each pair of annotators on an item
    once; `items` have a pair; `annotators` are those of the pairs. `agreement` is the share of pairs that agree on pass
    or fail, `kappa` is over ordered pairs. `alpha` is Krippendorff's on pass or fail, `alpha_ordinal` on stars (thumbs
    have no strength). `metrics`: the on-topic ones, by name.
    """

    queue: str
    criterion: str
    window: WindowName
    pairs: int
    items: int
    annotators: int
    agreement: float | None
    agreement_low: float | None
    agreement_high: float | None
    kappa: float | None
    alpha: float | None
    alpha_ordinal: float | None
    metrics: list[Headroom]
    undefined: dict[str, Undefined]


class CorrectedJudge(TypedDict):
    """The pass rate of one judge version, and what people would say (Rogan-Gladen).

    `pass_rate`: `passed` of the `evaluated` items of the queue, annotated or not. `tpr` and `tnr`: from the version's
    own comparisons (`comparisons`, on `items` items). `corrected`, clipped to 0..1, holds when the annotated items are
    a fair sample of the queue's. Its interval carries the noise of all three.
    """

    judge: str
    evaluated: int
    passed: int
    pass_rate: float | None
    comparisons: int
    items: int
    tpr: float | None
    tnr: float | None
    corrected: float | None
    corrected_low: float | None
    corrected_high: float | None
    undefined: dict[str, Undefined]


class Corrected(TypedDict):
    """Corrected pass rates of a criterion and metric by judge version, in the order of their first verdict.

    `items`: standing in the queue, 0 without queue items. `interval` names the method of the intervals.
    """

    queue: str
    criterion: str
    metric: str
    window: WindowName
    interval: Literal["delta"]
    items: int
    judges: list[CorrectedJudge]


class JudgeVersion(TypedDict):
    """A judge version's own comparisons, current or `superseded`; `first_day`: of its first verdict among them."""

    judge: str
    first_day: str
    comparisons: int
    superseded: int
    items: int
    tp: int
    fn: int
    tn: int
    fp: int
    alignment: float
    alignment_low: float
    alignment_high: float
    baseline: float
    bias: float
    kappa: float | None
    tpr: float | None
    tpr_low: float | None
    tpr_high: float | None
    tnr: float | None
    tnr_low: float | None
    tnr_high: float | None
    undefined: dict[str, Undefined]


class VersionTest(TypedDict):
    """McNemar's exact test of two versions on the `items` that both judged.

    An item counts once, for the version that more of its annotators agree with: `first_only`, `second_only`. Items on
    which both say the same, or on which annotators are split evenly, count for neither.
    """

    first: str
    second: str
    items: int
    first_only: int
    second_only: int
    p_value: float | None
    undefined: dict[str, Undefined]


class Versions(TypedDict):
    """Judge versions of a criterion and metric side by side, in the order of their first verdict; a test per two."""

    queue: str
    criterion: str
    metric: str
    window: WindowName
    versions: list[JudgeVersion]
    tests: list[VersionTest]
    epochs: list[JudgeChange]
