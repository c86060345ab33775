"""Results of `sinks.queries` as types: what the page shows beyond the snapshot document.

Null means undefined: the object's `undefined` has the field and the reason. Days are UTC days as ISO text. Intervals
are 95 % intervals over distinct items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from aggregator.facts import Direction
from aggregator.statistics.confusion import Undefined

WindowName = Literal["7d", "30d", "90d", "all"]
TrendBasis = Literal["annotation", "publication"]


class Agreed(TypedDict):
    """How many of some comparisons agree. The interval is Wilson 95 % over items."""

    k: int
    """Comparisons in which people and metric agree."""
    n: int
    """Number of comparisons, at least 1."""
    items: int
    """Distinct items among the comparisons."""
    alignment: float
    """`k / n`, 0 to 1."""
    low: float
    """Lower bound of the interval of `alignment`."""
    high: float
    """Upper bound of the interval of `alignment`."""


class TrendDay(Agreed):
    """Comparisons of one day; by publication those of all days up to it, as in the last document of the day."""

    day: str
    """UTC day."""
    week: Agreed | None
    """Comparisons of the seven days that end on this day, within the window. Null by publication."""


class JudgeChange(TypedDict):
    """A new version of the judge, compared with the one before it."""

    day: str
    """UTC day from which the version has comparisons: of its first verdict, or of the first annotation that is compared
    with it if this is later.
    """
    metric: str
    """Name of the metric."""
    judge: str
    """The new version."""
    previous: str
    """The version before it."""
    before: Agreed
    """All comparisons of the previous version."""
    after: Agreed
    """All comparisons of the new version."""
    p_value: float
    """p value of the difference: of McNemar's exact test on the items that both versions judged where there are as many
    as the setting `gate_items`, or where it is below 0.05; else of Fisher's exact test of the items of `before` and
    `after`.
    """
    change: Literal["better", "worse", "unclear"]
    """`unclear` unless `p_value` is below 0.05."""


class Trend(TypedDict):
    """Alignment over time."""

    queue: str
    """Name of the queue."""
    criterion: str | None
    """Name of the criterion; null for all."""
    metric: str | None
    """Name of the metric; null for all that are on topic."""
    window: WindowName
    """Days that are counted: UTC days up to today, or all."""
    by: TrendBasis
    """Which comparisons a day has."""
    days: list[TrendDay]
    """Days with comparisons, oldest first: the 1,000 newest but `skip`, and by publication fewer of a queue whose
    documents are large.
    """
    days_total: int
    """Number of all days; by publication of those with a document."""
    days_left_out: int
    """Number of older days that are left out: `skip` of the next request is `days_total` less these."""
    epochs: list[JudgeChange]
    """New judge versions, oldest first, the 50 newest of them; empty without a criterion."""
    epochs_total: int
    """Number of all new judge versions."""


class Cut(TypedDict):
    """Counts at another threshold: scores at the cut and on its passing side pass."""

    cut: float | None
    """The threshold; null where nothing passes."""
    tp: int
    """Human pass, metric pass."""
    fn: int
    """Human pass, metric fail."""
    tn: int
    """Human fail, metric fail."""
    fp: int
    """Human fail, metric pass."""
    alignment: float
    """Share of comparisons in which people and metric agree, 0 to 1."""
    low: float
    """Lower bound of the interval of `alignment`."""
    high: float
    """Upper bound of the interval of `alignment`."""
    balanced_accuracy: float | None
    """Mean of `tpr` and `1 - fpr`; null when people gave only one verdict."""
    tpr: float | None
    """True positive rate; null when people passed nothing."""
    fpr: float | None
    """False positive rate; null when people failed nothing."""


Bin = TypedDict("Bin", {"low": float, "high": float, "pass": int, "fail": int})
"""Number of scores from `low` to below `high` (in the last bin up to `high`), by human verdict."""


class JudgeThresholds(TypedDict):
    """Thresholds of one version of the judge."""

    judge: str
    """Version of the judge."""
    thresholds: list[float]
    """Different thresholds of its scored comparisons, lowest first; more than one is probably a mistake."""


class WhatIf(TypedDict):
    """Counts and alignment of a criterion and metric at other thresholds."""

    queue: str
    """Name of the queue."""
    criterion: str
    """Name of the criterion."""
    metric: str
    """Name of the metric."""
    window: WindowName
    """Days that are counted: UTC days up to today, or all."""
    in_sample: Literal[True]
    """Always true: cuts and AUC are measured on the comparisons they are chosen from. Expect less on new ones."""
    comparisons: int
    """Number of comparisons of the pair."""
    scored: int
    """Comparisons whose current evaluation has a score."""
    items: int
    """Distinct items among the scored comparisons."""
    direction: Direction | None
    """Which side of a threshold passes; null when evaluations differ in it."""
    threshold: float | None
    """Threshold of the newest scored evaluation that has one."""
    thresholds: int
    """Number of different thresholds."""
    judges: list[JudgeThresholds]
    """Versions of the judge among the scored comparisons, by name."""
    two_scales: bool
    """Whether thresholds or scores look to be on two scales, such as 0 to 1 and 0 to 100; then none is recommended."""
    now: Cut | None
    """The verdicts as they are, over the scored comparisons."""
    cost: float
    """Cost of a false positive in false negatives, for `best_cost`."""
    auc: float | None
    """Area under the ROC curve, 0 to 1."""
    auc_low: float | None
    """Lower bound of the 95 % interval of `auc`; up to 0.5 the scores may carry no information on the human verdict."""
    auc_high: float | None
    """Upper bound of the interval of `auc`."""
    recommended: Cut | None
    """`best_alignment` where scores are on one scale, it is better than `now`, and its lower bound is above a constant
    judge.
    """
    best_alignment: Cut | None
    """Cut with the highest alignment; of equal ones the nearest to `threshold`."""
    best_balanced_accuracy: Cut | None
    """Cut with the highest balanced accuracy."""
    best_cost: Cut | None
    """Cut with the lowest cost."""
    cuts: int
    """Number of cuts with different counts."""
    sweep: list[Cut]
    """Those cuts in the order of their thresholds; an even selection of them when there are more than 200."""
    grid: list[Cut]
    """Cuts at even steps over the range of the histogram."""
    histogram: list[Bin]
    """Number of scores by human verdict, in 25 bins from `low` to below `high`."""
    beyond: int
    """Comparisons whose score is outside the range of the histogram, far from the bulk; its end bins count them."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


class Headroom(TypedDict):
    """A metric compared with human agreement."""

    metric: str
    """Name of the metric."""
    alignment: float | None
    """Alignment of the metric with people, 0 to 1."""
    headroom: float | None
    """Human agreement minus alignment, -1 to 1; null where people do not agree among themselves."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


class Ceiling(TypedDict):
    """Agreement of annotators with each other on one criterion, under any policy: the human ceiling."""

    queue: str
    """Name of the queue."""
    criterion: str
    """Name of the criterion."""
    window: WindowName
    """Days that are counted: UTC days up to today, or all."""
    pairs: int
    """Pairs of annotators on one item."""
    items: int
    """Items with at least one pair."""
    annotators: int
    """Annotators with at least one pair."""
    agreement: float | None
    """Share of pairs that agree on pass or fail, 0 to 1."""
    agreement_low: float | None
    """Lower bound of the interval of `agreement`."""
    agreement_high: float | None
    """Upper bound of the interval of `agreement`."""
    kappa: float | None
    """Cohen's kappa over ordered pairs, -1 to 1."""
    kappa_low: float | None
    """Lower bound of the interval of `kappa`: a bootstrap over items."""
    kappa_high: float | None
    """Upper bound of the interval of `kappa`."""
    alpha: float | None
    """Krippendorff's alpha on pass or fail, -1 to 1."""
    alpha_ordinal: float | None
    """Krippendorff's ordinal alpha on stars, -1 to 1; thumbs have no strength."""
    metrics: list[Headroom]
    """The metrics on topic, by name; of more than 1,000 those with most comparisons."""
    metrics_left_out: NotRequired[int]
    """Number of metrics that are not listed. Earlier releases list all, and do not send it."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


class CorrectedJudge(TypedDict):
    """Pass rate of one version of the judge, corrected for its errors."""

    judge: str
    """Version of the judge."""
    evaluated: int
    """Items of the queue, annotated or not, with a verdict of the version."""
    passed: int
    """Those of them that pass."""
    pass_rate: float | None
    """`passed / evaluated`, 0 to 1."""
    comparisons: int
    """Comparisons of the version."""
    items: int
    """Distinct items among the comparisons."""
    tpr: float | None
    """True positive rate of the version."""
    tnr: float | None
    """True negative rate of the version."""
    corrected: float | None
    """Estimated human pass rate over all items of the queue (Rogan-Gladen), clipped to 0 to 1.

    It is valid when the annotated items are a fair sample.
    """
    corrected_low: float | None
    """Lower bound of the interval of `corrected`; it includes the noise of `pass_rate`, `tpr` and `tnr`."""
    corrected_high: float | None
    """Upper bound of the interval of `corrected`."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


class Corrected(TypedDict):
    """Corrected pass rates of a criterion and metric."""

    queue: str
    """Name of the queue."""
    criterion: str
    """Name of the criterion."""
    metric: str
    """Name of the metric."""
    window: WindowName
    """Days that are counted: UTC days up to today, or all."""
    interval: Literal["delta"]
    """Method of the intervals: the delta method."""
    items: int
    """Items in the queue; 0 without queue items."""
    judges: list[CorrectedJudge]
    """Versions of the judge, in the order of their first verdict: the 50 newest, or those before with `skip`."""
    judges_total: int
    """Number of all versions."""


class JudgeVersion(TypedDict):
    """Comparisons of one version of the judge, over all items that it judged."""

    judge: str
    """Version of the judge."""
    first_day: str
    """UTC day of its first verdict, on any item."""
    comparisons: int
    """All comparisons of the version."""
    superseded: int
    """Those in which another version has the item's latest verdict."""
    items: int
    """Distinct items among the comparisons."""
    tp: int
    """Human pass, metric pass."""
    fn: int
    """Human pass, metric fail."""
    tn: int
    """Human fail, metric fail."""
    fp: int
    """Human fail, metric pass."""
    alignment: float
    """Share of comparisons in which people and the version agree, 0 to 1."""
    alignment_low: float
    """Lower bound of the interval of `alignment`."""
    alignment_high: float
    """Upper bound of the interval of `alignment`."""
    baseline: float
    """Alignment of a constant judge that always returns the more frequent human verdict."""
    bias: float
    """Pass rate of the version minus pass rate of people, -1 to 1."""
    kappa: float | None
    """Cohen's kappa, -1 to 1."""
    tpr: float | None
    """True positive rate."""
    tpr_low: float | None
    """Lower bound of the interval of `tpr`."""
    tpr_high: float | None
    """Upper bound of the interval of `tpr`."""
    tnr: float | None
    """True negative rate."""
    tnr_low: float | None
    """Lower bound of the interval of `tnr`."""
    tnr_high: float | None
    """Upper bound of the interval of `tnr`."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


class VersionTest(TypedDict):
    """McNemar's exact test of two versions.

    An item counts once, by the majority of its annotators; a tie does not count.
    """

    first: str
    """One version."""
    second: str
    """The other version."""
    items: int
    """Items that both versions judged."""
    first_only: int
    """Items on which only the first agrees with most of the item's annotators."""
    second_only: int
    """Items on which only the second does."""
    p_value: float | None
    """p value of McNemar's exact test."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


class Versions(TypedDict):
    """Versions of the judge, compared on one criterion and metric."""

    queue: str
    """Name of the queue."""
    criterion: str
    """Name of the criterion."""
    metric: str
    """Name of the metric."""
    window: WindowName
    """Days that are counted: UTC days up to today, or all."""
    versions: list[JudgeVersion]
    """Versions of the judge, in the order of their first verdict: the 50 newest, or those before with `skip`."""
    versions_total: int
    """Number of all versions."""
    tests: list[VersionTest]
    """Tests of each listed version with the next, and of every two of the last 20 listed ones."""
    epochs: list[JudgeChange]
    """When each listed version followed another one, oldest first."""


class JudgeWaiting(TypedDict):
    """A judge version of waiting verdicts."""

    metric: str
    """Name of the metric."""
    judge: str
    """Judge version; empty where events carry none."""
    first_at: str
    """Time of its first verdict that began to wait, RFC 3339."""
    last_at: str
    """Time of its last verdict that began to wait, RFC 3339."""
    verdicts: int
    """Number of its verdicts that began to wait, also those whose item was annotated or that expired since. A version
    is listed until its last verdict has expired.
    """


class WaitingTotals(TypedDict):
    """Evaluations whose item no annotation and no queue item names yet. They are in no other number."""

    evaluations: int
    """Evaluations that wait, without those whose item was annotated or queued since."""
    metrics: int
    """Their metrics, failed evaluations and deletions aside."""
    rebuilding: int
    """Offsets of the evaluations topic that workers read again, because their disks lack them. Until it is 0,
    comparisons of items that became known meanwhile may be missing.
    """
    missing: int
    """Evaluations that are missing, at most: offsets that the disks of workers lack and that the topic no longer has,
    and evaluations that were dropped early because a disk was nearly full.
    """
    since: str | None
    """Time from which on evaluations are kept, RFC 3339: older ones have expired. Null while none has."""
    sample: list[str]
    """Some of the items, at most three."""
    judges: list[JudgeWaiting]
    """Judge versions of the verdicts, those with most verdicts first, at most 200."""


@dataclass(frozen=True, slots=True)
class Insights:
    """The human ceiling of a criterion, and the what-if of each of its compared on-topic metrics."""

    ceiling: Ceiling
    what_ifs: Mapping[str, WhatIf]
