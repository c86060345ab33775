"""Builds the snapshot document of a queue from its counts. What cannot be computed is null, with a reason."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final, TypeVar

from aggregator.days import Window, timestamp
from aggregator.ratings import COUNTS, LEVELS, cell_index
from aggregator.snapshot.inputs import (
    CountingRules,
    CriterionState,
    DocumentStamp,
    JudgeFailures,
    JudgeVectors,
    MetricCoverage,
    PairCounts,
    QueueState,
    Vector,
    sum_vectors,
)
from aggregator.snapshot.schema import (
    SCHEMA_NAME,
    Cards,
    CriterionDocument,
    JudgeDocument,
    MetricDocument,
    NewestJudgeDocument,
    Ratings,
    SnapshotDocument,
    Verdicts,
)
from aggregator.statistics.confusion import Confusion, Estimate, Undefined
from aggregator.statistics.gate import gate, labels_needed
from aggregator.statistics.judge_in_use import JudgePeriod

PAIRS: Final = 1_000
"""Most pairs of criterion and metric that a document lists. All pairs are in its sums."""
JUDGES: Final = 200
"""Most judge versions that a document lists of a criterion and metric."""
JUDGE_BYTES: Final = 512 * 1024
"""About the bytes that all judge versions of a document have: its pairs have equal shares. The newest of each is listed
in any case.
"""
NAME_BYTES: Final = 256 * 1024
"""Bytes of the metrics' names after which a document lists no further pair."""
_CHARACTER_BYTES: Final = 4
_JUDGE_COUNTS: Final = 100
"""About the bytes of a judge version without its name."""
_NOTHING: Final[Vector] = (0,) * COUNTS
_T = TypeVar("_T")


def document(state: QueueState, window: Window, stamp: DocumentStamp, rules: CountingRules) -> SnapshotDocument:
    """The snapshot document of a queue in a window. Raises ValueError for impossible counts (see `Confusion`)."""
    on_topic: list[tuple[int, ...]] = []
    compared: set[str] = set()
    criteria: list[CriterionDocument] = []
    listed = _listed_pairs(state, rules)
    for name, criterion in sorted(state.criteria.items()):
        vectors = {metric: _current(pair.judges) for metric, pair in criterion.metrics.items()}
        counted = [m for m, vector in vectors.items() if any(vector) and rules.on_topic(name, m)]
        compared.update(counted)
        outcomes = rules.outcomes(name, _sum(vectors[metric] for metric in counted))
        on_topic.append(outcomes)
        criteria.append(
            _criterion(
                name,
                criterion,
                Confusion(*outcomes, criterion.items_compared),
                state,
                rules,
                listed=listed[name],
            )
        )
    tp, fn, tn, fp = (sum(numbers) for numbers in zip((0, 0, 0, 0), *on_topic, strict=True))
    built = SnapshotDocument(
        schema=SCHEMA_NAME,
        queue=state.queue,
        as_of=stamp.as_of,
        revision=stamp.revision,
        ledger=stamp.ledger,
        positions={str(partition): stamp.positions[partition] for partition in sorted(stamp.positions)},
        policy=stamp.policy,
        pass_stars=rules.pass_stars,
        window=window,
        cards=_cards(state, Confusion(tp, fn, tn, fp, state.items_compared), len(compared)),
        criteria=criteria,
    )
    if state.judge is not None:
        built["judge"] = state.judge
    if stamp.rebuilding:
        built["rebuilding"] = stamp.rebuilding
    return built


class Nulls:
    """Turns undefined numbers into null, and keeps their reasons."""

    def __init__(self) -> None:
        self.reasons: dict[str, Undefined] = {}
        """By name of the field."""

    def number(self, name: str, value: _T | Undefined) -> _T | None:
        """The number, or null."""
        if isinstance(value, Undefined):
            self.reasons[name] = value
            return None
        return value

    def rate(self, name: str, value: Estimate | Undefined) -> float | None:
        """The share without its interval, or null."""
        return self.number(name, value if isinstance(value, Undefined) else value.value)

    def estimate(self, name: str, value: Estimate | Undefined) -> tuple[float | None, float | None, float | None]:
        """The share, and the lower and upper bound of its interval; or three nulls."""
        names = name, f"{name}_low", f"{name}_high"
        if isinstance(value, Undefined):
            self.reasons.update(dict.fromkeys(names, value))
            return None, None, None
        return value


def _cards(state: QueueState, counts: Confusion, metrics: int) -> Cards:
    nulls = Nulls()
    alignment, low, high = nulls.estimate("alignment", counts.alignment)
    funnel = state.funnel
    missing = state.no_funnel
    return Cards(
        items_compared=state.items_compared,
        items_annotated=state.items_annotated,
        annotations=sum(criterion.annotations for criterion in state.criteria.values()),
        annotations_contributing=sum(criterion.contributing for criterion in state.criteria.values()),
        comparisons=counts.n,
        misaligned=counts.misaligned,
        alignment=alignment,
        alignment_low=low,
        alignment_high=high,
        criteria=len(state.criteria),
        metrics=metrics,
        items_queued=nulls.number("items_queued", funnel.items if funnel else missing),
        items_waiting_evaluation=nulls.number(
            "items_waiting_evaluation", funnel.waiting_evaluation if funnel else missing
        ),
        items_errored=nulls.number("items_errored", funnel.errored if funnel else missing),
        items_waiting_annotation=nulls.number(
            "items_waiting_annotation", funnel.waiting_annotation if funnel else missing
        ),
        undefined=nulls.reasons,
    )


@dataclass(frozen=True, slots=True)
class _ListedMetrics:
    """Which metrics of a criterion a document lists."""

    names: Sequence[str]
    left_out: int
    """Number of the others."""
    judge_bytes: int
    """About the bytes that the judge versions of each may have."""


def _listed_pairs(state: QueueState, rules: CountingRules) -> dict[str, _ListedMetrics]:
    """By criterion the metrics that a document lists: of all pairs of the queue those with most comparisons."""
    covered = state.funnel.metrics if state.funnel else ()
    metrics = {
        name: sorted(
            {*criterion.metrics, *criterion.failures, *(metric for metric in covered if rules.on_topic(name, metric))}
        )
        for name, criterion in state.criteria.items()
    }
    every = [metric for names in metrics.values() for metric in names]
    if len(every) <= PAIRS and sum(map(len, every)) <= NAME_BYTES // _CHARACTER_BYTES:
        share = JUDGE_BYTES // max(1, len(every))
        return {name: _ListedMetrics(names, 0, share) for name, names in metrics.items()}
    pairs = [
        (-sum(_current(pair.judges)) if (pair := state.criteria[name].metrics.get(metric)) else 0, name, metric)
        for name, names in metrics.items()
        for metric in names
    ]
    chosen: dict[str, list[str]] = {name: [] for name in metrics}
    room, listed = NAME_BYTES, 0
    for _, name, metric in nsmallest(PAIRS, pairs):
        if room <= 0:
            break
        room -= len(metric.encode())
        listed += 1
        chosen[name].append(metric)
    share = JUDGE_BYTES // max(1, listed)
    return {
        name: _ListedMetrics(sorted(names), len(metrics[name]) - len(names), share) for name, names in chosen.items()
    }


def _criterion(
    name: str,
    criterion: CriterionState,
    counts: Confusion,
    state: QueueState,
    rules: CountingRules,
    *,
    listed: _ListedMetrics,
) -> CriterionDocument:
    nulls = Nulls()
    alignment = counts.alignment
    metrics = [
        _metric(name, metric, criterion, state, rules, judge_bytes=listed.judge_bytes) for metric in listed.names
    ]
    metrics.sort(key=_rank)
    built = CriterionDocument(
        criterion=name,
        annotations=criterion.annotations,
        annotations_contributing=criterion.contributing,
        items_compared=criterion.items_compared,
        comparisons=counts.n,
        misaligned=counts.misaligned,
        alignment=nulls.rate("alignment", alignment),
        human=Verdicts({"pass": counts.human_pass, "fail": counts.human_fail}),
        metric=Verdicts({"pass": counts.metric_pass, "fail": counts.metric_fail}),
        undefined=nulls.reasons,
        metrics=metrics,
        metrics_left_out=listed.left_out,
    )
    if (limit := rules.pass_limit(name)) != rules.pass_stars:
        built["pass_stars"] = limit
    return built


def _rank(metric: MetricDocument) -> tuple[float, int, str]:
    # An undefined alignment is last: as 0, without comparisons.
    return -(metric["alignment"] or 0), -metric["comparisons"], metric["metric"]


def _metric(
    criterion: str, name: str, counted: CriterionState, state: QueueState, rules: CountingRules, *, judge_bytes: int
) -> MetricDocument:
    pair = counted.metrics.get(name, PairCounts(0, {}))
    failures = counted.failures.get(name, JudgeFailures(0, 0))
    funnel, newest = state.funnel, state.judges.get(name)
    current = _current(pair.judges)
    counts = Confusion(*rules.outcomes(criterion, current), pair.items)
    on_topic = rules.on_topic(criterion, name)
    nulls = Nulls()
    alignment, alignment_low, alignment_high = nulls.estimate("alignment", counts.alignment)
    tpr, tpr_low, tpr_high = nulls.estimate("tpr", counts.tpr)
    tnr, tnr_low, tnr_high = nulls.estimate("tnr", counts.tnr)
    ppv, ppv_low, ppv_high = nulls.estimate("ppv", counts.ppv)
    npv, npv_low, npv_high = nulls.estimate("npv", counts.npv)
    own = _own_counts(criterion, pair.judges.get(newest.judge) if newest is not None else None, rules)
    decision, obstacles = gate(own, rules.limits)
    labels = labels_needed(own, rules.limits) if on_topic else Undefined.OFF_TOPIC
    coverage = funnel and funnel.metrics.get(name, MetricCoverage(0, 0, 0, 0, waiting=funnel.items))
    missing = state.no_funnel
    return MetricDocument(
        metric=name,
        comparisons=counts.n,
        misaligned=counts.misaligned,
        tp=counts.tp,
        fn=counts.fn,
        tn=counts.tn,
        fp=counts.fp,
        alignment=alignment,
        alignment_low=alignment_low,
        alignment_high=alignment_high,
        baseline=nulls.number("baseline", counts.baseline),
        kappa=nulls.number("kappa", counts.kappa),
        ac1=nulls.number("ac1", counts.ac1),
        mcc=nulls.number("mcc", counts.mcc),
        alpha=nulls.number("alpha", counts.alpha),
        bias=nulls.number("bias", counts.bias),
        tpr=tpr,
        tpr_low=tpr_low,
        tpr_high=tpr_high,
        tnr=tnr,
        tnr_low=tnr_low,
        tnr_high=tnr_high,
        ppv=ppv,
        ppv_low=ppv_low,
        ppv_high=ppv_high,
        npv=npv,
        npv_low=npv_low,
        npv_high=npv_high,
        f1=nulls.number("f1", counts.f1),
        balanced_accuracy=nulls.number("balanced_accuracy", counts.balanced_accuracy),
        items_compared=pair.items,
        annotated_errored=failures.errored,
        annotated_skipped=failures.skipped,
        newest_judge=nulls.number(
            "newest_judge", Undefined.NO_VERDICTS if newest is None else _newest_judge(newest, own, rules)
        ),
        judge_versions=len(pair.judges),
        labels_needed=nulls.number("labels_needed", labels if isinstance(labels, Undefined) else labels.items),
        labels_needed_for=nulls.number(
            "labels_needed_for", labels if isinstance(labels, Undefined) else labels.purpose
        ),
        gate_state=nulls.number("gate_state", decision if on_topic else Undefined.OFF_TOPIC),
        gate_reasons=list(obstacles) if on_topic else [],
        evaluated=nulls.number("evaluated", coverage.passed + coverage.failed if coverage else missing),
        pass_rate=nulls.number("pass_rate", _pass_rate(coverage) if coverage else missing),
        errored=nulls.number("errored", coverage.errored if coverage else missing),
        skipped=nulls.number("skipped", coverage.skipped if coverage else missing),
        waiting=nulls.number("waiting", coverage.waiting if coverage else missing),
        off_topic=not on_topic,
        undefined=nulls.reasons,
        ratings=_ratings(current),
        judges={
            judge: _judge(criterion, pair.judges[judge], rules)
            for judge in _listed(pair.judges, newest and newest.judge, judge_bytes)
        },
    )


def _listed(judges: Mapping[str, JudgeVectors], newest: str | None, most_bytes: int) -> list[str]:
    """The names of the judge versions that a document lists: those with most comparisons, and the newest."""
    largest = nsmallest(JUDGES, judges, key=lambda judge: (judge != newest, -sum(judges[judge].own), judge))
    listed: list[str] = []
    for judge in largest:
        most_bytes -= _JUDGE_COUNTS + len(judge.encode())
        if most_bytes < 0 and listed:
            break
        listed.append(judge)
    return sorted(listed)


def _pass_rate(coverage: MetricCoverage) -> float | Undefined:
    verdicts = coverage.passed + coverage.failed
    return coverage.passed / verdicts if verdicts else Undefined.NO_VERDICTS


def _value(estimate: Estimate | Undefined) -> float | Undefined:
    return estimate if isinstance(estimate, Undefined) else estimate.value


def _own_counts(criterion: str, cell: JudgeVectors | None, rules: CountingRules) -> Confusion:
    """A judge version's own comparisons, current or superseded."""
    if cell is None:
        return Confusion(0, 0, 0, 0, 0)
    return Confusion(*rules.outcomes(criterion, cell.own), cell.items)


def _newest_judge(newest: JudgePeriod, own: Confusion, rules: CountingRules) -> NewestJudgeDocument:
    nulls = Nulls()
    alignment, low, high = nulls.estimate("alignment", own.alignment)
    gate_low = (
        own.alignment if isinstance(own.alignment, Undefined) else rules.limits.lower_bound(own.alignment, own.items)
    )
    return NewestJudgeDocument(
        judge=newest.judge,
        since=timestamp(newest.first_at),
        comparisons=own.n,
        items_compared=own.items,
        tp=own.tp,
        fn=own.fn,
        tn=own.tn,
        fp=own.fp,
        alignment=alignment,
        alignment_low=low,
        alignment_high=high,
        gate_low=nulls.number("gate_low", gate_low),
        baseline=nulls.number("baseline", own.baseline),
        bias=nulls.number("bias", own.bias),
        tpr=nulls.number("tpr", _value(own.tpr)),
        tnr=nulls.number("tnr", _value(own.tnr)),
        undefined=nulls.reasons,
    )


def _judge(criterion: str, cell: JudgeVectors, rules: CountingRules) -> JudgeDocument:
    tp, fn, tn, fp = rules.outcomes(criterion, cell.own)
    return JudgeDocument(tp=tp, fn=fn, tn=tn, fp=fp, superseded=sum(cell.superseded), items_compared=cell.items)


def _ratings(vector: Vector) -> Ratings:
    def verdicts(level: str) -> Verdicts:
        index = LEVELS.index(level)
        return Verdicts({"pass": vector[cell_index(index, True)], "fail": vector[cell_index(index, False)]})

    return Ratings(
        {
            "up": verdicts("up"),
            "down": verdicts("down"),
            "1": verdicts("1"),
            "2": verdicts("2"),
            "3": verdicts("3"),
            "4": verdicts("4"),
            "5": verdicts("5"),
        }
    )


def _current(judges: Mapping[str, JudgeVectors]) -> Vector:
    return _sum(cell.current for cell in judges.values())


def _sum(vectors: Iterable[Vector]) -> Vector:
    return sum_vectors((_NOTHING, *vectors))
