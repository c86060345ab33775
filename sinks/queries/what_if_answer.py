"""The answer of the threshold what-if, from the compared items of a criterion and metric."""

from collections.abc import Sequence
from heapq import nlargest
from typing import Final

from aggregator.facts import Direction
from aggregator.snapshot.build import Nulls
from aggregator.statistics.auc import auc_interval
from aggregator.statistics.confusion import Confusion, Estimate, Undefined
from aggregator.statistics.scales import ScoredVerdict, check_scales
from aggregator.statistics.what_if import Scored, ScoredItems, Sweep, ThresholdCounts
from sinks import budgets
from sinks.queries.results import Bin, Cut, JudgeThresholds, WhatIf
from sinks.queries.scope import Scope

SELECTED: Final = 200
"""Most cuts in `sweep`, besides the best ones."""


def what_if_of(
    compared: Sequence[ScoredItems], scope: Scope, criterion: str, metric: str, *, cost: float = 1.0
) -> WhatIf:
    """Counts at other thresholds. `cost`: false negatives that one false positive is worth, above 0."""
    with_score = [row for row in compared if row.score is not None]
    items = sum(row.items for row in with_score)
    threshold = max(((row.at, row.threshold) for row in with_score if row.threshold is not None), default=(0, None))[1]
    scales = check_scales(
        ScoredVerdict(row.judge, row.threshold, row.score) for row in with_score if row.score is not None
    )
    answer = WhatIf(
        queue=scope.queue,
        criterion=criterion,
        metric=metric,
        window=scope.window.value,
        in_sample=True,
        comparisons=sum(row.passes + row.fails for row in compared),
        scored=sum(row.passes + row.fails for row in with_score),
        items=items,
        direction=None,
        threshold=threshold,
        thresholds=len({row.threshold for row in with_score} - {None}),
        judges=[
            JudgeThresholds(judge=judge, thresholds=list(thresholds)[: budgets.THRESHOLDS])
            for judge, thresholds in nlargest(budgets.JUDGES, scales.thresholds.items(), key=lambda each: len(each[1]))
        ],
        two_scales=scales.two_scales,
        now=_cut(_current(with_score, threshold), items) if with_score else None,
        cost=cost,
        auc=None,
        auc_low=None,
        auc_high=None,
        recommended=None,
        best_alignment=None,
        best_balanced_accuracy=None,
        best_cost=None,
        cuts=0,
        sweep=[],
        grid=[],
        histogram=[],
        beyond=0,
        undefined={},
    )
    directions: set[Direction] = {row.direction for row in with_score}
    if len(directions) != 1:
        reason = Undefined.MIXED_DIRECTIONS if directions else _missing(compared)
        names = [
            "direction", "auc", "auc_low", "auc_high", "recommended", "best_alignment", "best_balanced_accuracy",
            "best_cost",
        ]  # fmt: skip
        answer["undefined"] = dict.fromkeys(names if with_score else [*names, "now"], reason)
    else:
        _fill(answer, with_score, directions.pop())
    if threshold is None:
        answer["undefined"]["threshold"] = Undefined.NO_THRESHOLD if with_score else _missing(compared)
    return answer


def _missing(compared: Sequence[ScoredItems]) -> Undefined:
    return Undefined.NO_SCORES if compared else Undefined.NO_COMPARISONS


def _current(with_score: Sequence[ScoredItems], threshold: float | None) -> ThresholdCounts:
    """Counts of the verdicts as they are."""
    passed = [row for row in with_score if row.passed]
    failed = [row for row in with_score if not row.passed]
    return ThresholdCounts(
        threshold,
        tp=sum(row.passes for row in passed),
        fn=sum(row.passes for row in failed),
        tn=sum(row.fails for row in failed),
        fp=sum(row.fails for row in passed),
    )


def _fill(answer: WhatIf, with_score: Sequence[ScoredItems], direction: Direction) -> None:
    sweep = Sweep.of(
        (Scored(row.score, row.passes, row.fails) for row in with_score if row.score is not None), direction
    )
    items, near, nulls = answer["items"], answer["threshold"], Nulls()
    aligned, cheapest = sweep.best_alignment(near), sweep.best_cost(answer["cost"], near)
    balanced = sweep.best_balanced_accuracy(near)
    bests = [aligned, cheapest]
    if isinstance(balanced, Undefined):
        nulls.reasons["best_balanced_accuracy"] = balanced
    else:
        bests.append(balanced)
        answer["best_balanced_accuracy"] = _cut(balanced, items)
    answer["direction"] = direction
    _fill_auc(answer, sweep, nulls)
    best = answer["best_alignment"] = _cut(aligned, items)
    answer["recommended"] = nulls.number(
        "recommended", Undefined.TWO_SCALES if answer["two_scales"] else _recommended(best, answer["now"])
    )
    answer["best_cost"] = _cut(cheapest, items)
    answer["cuts"] = len(sweep.cuts)
    answer["sweep"] = [_cut(cut, items) for cut in sweep.selection(SELECTED, bests)]
    answer["grid"] = [_cut(cut, items) for cut in sweep.grid()]
    answer["histogram"] = [
        Bin({"low": bar.low, "high": bar.high, "pass": bar.passes, "fail": bar.fails}) for bar in sweep.histogram()
    ]
    answer["beyond"] = sweep.beyond()
    answer["undefined"] = nulls.reasons


def _fill_auc(answer: WhatIf, sweep: Sweep, nulls: Nulls) -> None:
    auc = answer["auc"] = nulls.number("auc", sweep.auc)
    if auc is None:
        nulls.reasons["auc_low"] = nulls.reasons["auc_high"] = nulls.reasons["auc"]
        return
    # Annotators of one item are not independent: classes count by distinct items.
    share = answer["items"] / answer["scored"]
    cut = sweep.cuts[0]
    answer["auc_low"], answer["auc_high"] = auc_interval(auc, (cut.tp + cut.fn) * share, (cut.tn + cut.fp) * share)


def _recommended(best: Cut, now: Cut | None) -> Cut | Undefined:
    """The best cut, if it is better than the verdicts as they are and surely better than a constant judge."""
    n = best["tp"] + best["fn"] + best["tn"] + best["fp"]
    baseline = max(best["tp"] + best["fn"], best["tn"] + best["fp"]) / n
    better = now is None or best["alignment"] > now["alignment"]
    return best if better and best["low"] > baseline else Undefined.NO_BETTER_CUT


def _cut(cut: ThresholdCounts, items: int) -> Cut:
    counts: Confusion = cut.counts(items)
    alignment, balanced, tpr, tnr = counts.alignment, counts.balanced_accuracy, counts.tpr, counts.tnr
    assert isinstance(alignment, Estimate), "every cut has comparisons"
    return Cut(
        cut=cut.cut,
        tp=cut.tp,
        fn=cut.fn,
        tn=cut.tn,
        fp=cut.fp,
        alignment=alignment.value,
        low=alignment.low,
        high=alignment.high,
        balanced_accuracy=None if isinstance(balanced, Undefined) else balanced,
        tpr=None if isinstance(tpr, Undefined) else tpr.value,
        fpr=None if isinstance(tnr, Undefined) else cut.fp / counts.human_fail,
    )
