"""What the page shows beyond the snapshot document, computed on demand from the store.

Every function reads on a connection that sees one state (`Store.read`), so its answer agrees with those of other
functions, and with a document, on the same connection. `judges` is the result of `judge_versions`, where the
caller has it. Windows are of the annotations' days unless the type of the result states otherwise. The result for a
queue, criterion or metric that no row names has no comparisons.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from itertools import combinations, islice, pairwise
from typing import Final, TypeVar

from aggregator.days import day_of
from aggregator.snapshot.build import Nulls
from aggregator.snapshot.inputs import Vector, sum_vectors
from aggregator.snapshot.trend import AlignedShare, by_day, by_week, in_document
from aggregator.statistics.confusion import Confusion, Estimate, Undefined
from aggregator.statistics.corrected import corrected_pass_rate
from aggregator.statistics.versions import VersionCounts, epochs, in_order, mcnemar
from sinks import budgets
from sinks.queries import rows
from sinks.queries.ceiling_answer import ceiling_of
from sinks.queries.days import DayCells, day_cells, distinct_items, published_cells
from sinks.queries.history import last_documents, published_days
from sinks.queries.judge_changes import VersionPair, agreed, changes_of, judge_changes, version_pairs
from sinks.queries.judge_versions import judge_periods
from sinks.queries.results import (
    Ceiling,
    Corrected,
    CorrectedJudge,
    JudgeVersion,
    Trend,
    TrendBasis,
    TrendDay,
    Versions,
    VersionTest,
)
from sinks.queries.scope import Scope
from sinks.queries.version_counts import Judges, judge_versions

_V = TypeVar("_V")

_NO_COMPARISONS: Final = Confusion(tp=0, fn=0, tn=0, fp=0, items=0)


def trend(
    connection: sqlite3.Connection,
    scope: Scope,
    criterion: str | None = None,
    metric: str | None = None,
    judges: Judges | None = None,
    *,
    cells: Iterable[DayCells] | None = None,
    skip: int = 0,
) -> Trend:
    """Alignment by day of annotation, with the current rows, of one metric or of all on-topic pairs.

    The newest days but `skip`. Of a judge version, the only change is its own beginning.
    """
    if cells is None:
        cells = day_cells(published_cells(connection, scope, criterion, metric), scope, metric)
    vectors = ((each.day, each.criterion, each.vector) for each in cells)
    items = distinct_items(connection, scope, criterion, metric)
    shares = by_day(vectors, items.by_day, scope.rules)
    end = max(0, len(shares) - skip)
    start = max(0, end - budgets.DAYS)
    listed = dict(islice(shares.items(), start, end))
    answer = _trend(scope, (criterion, metric), listed, "annotation")
    answer["days_total"], answer["days_left_out"] = len(shares), start
    _mark(answer, connection, scope, judges)
    weeks = by_week(shares, items.by_week)
    for day in answer["days"]:
        day["week"] = agreed(weeks[day["day"]])
    return answer


def published(
    connection: sqlite3.Connection,
    scope: Scope,
    criterion: str | None = None,
    metric: str | None = None,
    judges: Judges | None = None,
    *,
    skip: int = 0,
) -> Trend:
    """Alignment over all days as it was published: the last document in the history of each UTC day of the window.

    The newest days but `skip`. Raises ValueError for a metric without a criterion, and for a judge version: documents
    do not contain their trend.
    """
    if scope.judge is not None:
        raise ValueError("documents have no current verdicts by judge version")
    shares: dict[str, AlignedShare] = {}
    read = 0
    for day, document in last_documents(
        connection, scope, skip=skip, most=budgets.DAYS, most_bytes=budgets.PUBLISHED_BYTES
    ):
        read += 1
        share = in_document(document, criterion, metric)
        if share is not None:
            shares[day] = share
    answer = _trend(scope, (criterion, metric), dict(reversed(shares.items())), "publication")
    answer["days_total"] = published_days(connection, scope)
    answer["days_left_out"] = max(0, answer["days_total"] - skip - read)
    _mark(answer, connection, scope, judges)
    return answer


def ceiling(
    connection: sqlite3.Connection,
    scope: Scope,
    criterion: str,
    most: int | None = None,
    *,
    cells: Iterable[DayCells] | None = None,
) -> Ceiling:
    """How well people agree with each other, and the headroom of each on-topic metric.

    With `most` only of that many metrics, those with most comparisons.
    """
    panels, annotators = rows.panels(connection, scope, criterion)
    if cells is None:
        cells = day_cells(published_cells(connection, scope, criterion), scope)
    alignments = _alignments(cells, scope, criterion)
    kept = alignments if most is None else nsmallest(most, alignments, key=lambda name: (-alignments[name][1], name))
    answer = ceiling_of(panels, annotators, {name: alignments[name][0] for name in kept}, scope, criterion)
    answer["metrics_left_out"] = len(alignments) - len(answer["metrics"])
    return answer


def _alignments(cells: Iterable[DayCells], scope: Scope, criterion: str) -> dict[str, tuple[float, int]]:
    """The alignment and the number of comparisons of each on-topic metric with comparisons."""
    vectors: dict[str, list[Vector]] = defaultdict(list)
    for each in cells:
        vectors[each.metric].append(each.vector)
    alignments = {}
    for metric, of_metric in vectors.items():
        tp, fn, tn, fp = scope.rules.outcomes(criterion, sum_vectors(of_metric))
        if n := tp + fn + tn + fp:
            alignments[metric] = (tp + tn) / n, n
    return alignments


def corrected(
    connection: sqlite3.Connection,
    scope: Scope,
    criterion: str,
    metric: str,
    judges: Judges | None = None,
    *,
    skip: int = 0,
) -> Corrected:
    """Pass rates over the queue's items, corrected for the judge's errors, of the newest judge versions but `skip`."""
    items = rows.items_queued(connection, scope)
    known = _versions(connection, scope, criterion, metric, judges)
    compared = {version.judge: version for version in known.get(metric, ())}
    judged = rows.judged_items(connection, scope, metric, items)
    periods = judge_periods(connection, ((metric, judge) for judge in compared | judged))
    first_at = {judge: period.first_at for (_, judge), period in periods.items()}
    answers = []
    for judge in _newest(sorted(first_at, key=lambda judge: (first_at[judge], judge)), skip):
        counts = compared[judge].counts if judge in compared else _NO_COMPARISONS
        evaluated, passed = judged.get(judge, rows.NOTHING_JUDGED)
        answers.append(_corrected(judge, items, evaluated, passed, counts))
    return Corrected(
        queue=scope.queue,
        criterion=criterion,
        metric=metric,
        window=scope.window.value,
        interval="delta",
        items=items,
        judges=answers,
        judges_total=len(first_at),
    )


def _versions(
    connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str | None, judges: Judges | None
) -> Judges:
    """`judges`, which are read if the caller does not have them."""
    return judge_versions(connection, scope, criterion, metric) if judges is None else judges


def _newest(versions: Sequence[_V], skip: int) -> Sequence[_V]:
    """The last versions but `skip`, as many as an answer may have."""
    end = max(0, len(versions) - skip)
    return versions[max(0, end - budgets.VERSIONS) : end]


def _corrected(judge: str, items: int, evaluated: int, passed: int, counts: Confusion) -> CorrectedJudge:
    nulls = Nulls()
    missing = Undefined.NO_VERDICTS if items else Undefined.NO_QUEUE_ITEMS
    rate, low, high = nulls.estimate(
        "corrected", corrected_pass_rate(passed, evaluated, counts) if evaluated else missing
    )
    return CorrectedJudge(
        judge=judge,
        evaluated=evaluated,
        passed=passed,
        pass_rate=nulls.number("pass_rate", passed / evaluated if evaluated else missing),
        comparisons=counts.n,
        items=counts.items,
        tpr=nulls.rate("tpr", counts.tpr),
        tnr=nulls.rate("tnr", counts.tnr),
        corrected=rate,
        corrected_low=low,
        corrected_high=high,
        undefined=nulls.reasons,
    )


def versions(
    connection: sqlite3.Connection,
    scope: Scope,
    criterion: str,
    metric: str,
    judges: Judges | None = None,
    *,
    skip: int = 0,
) -> Versions:
    """The newest judge versions but `skip`, tested against each other, and the day on which each appeared."""
    known = _versions(connection, scope, criterion, metric, judges)
    everything = in_order(known.get(metric, ()))
    ordered = _newest(everything, skip)
    names = [version.judge for version in ordered]
    pairs = [(metric, first, second) for first, second in _tested(names)]
    return Versions(
        queue=scope.queue,
        criterion=criterion,
        metric=metric,
        window=scope.window.value,
        versions=[_version(version) for version in ordered],
        versions_total=len(everything),
        tests=[_test(pair) for pair in version_pairs(connection, scope, criterion, pairs)],
        epochs=judge_changes(connection, scope, criterion, ((metric, change) for change in epochs(ordered))),
    )


def tests_of_newest(
    connection: sqlite3.Connection, scope: Scope, criterion: str, newest: Mapping[str, str], judges: Judges
) -> dict[str, VersionTest]:
    """By metric the test of its version in `newest` against the one before; only metrics with both."""
    pairs = []
    for metric, judge in newest.items():
        names = [version.judge for version in in_order(judges.get(metric, ()))]
        if judge in names[1:]:
            pairs.append((metric, names[names.index(judge) - 1], judge))
    return {pair.metric: _test(pair) for pair in version_pairs(connection, scope, criterion, pairs)}


def _tested(versions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The pairs of versions that are tested, in the order of the first one, then the second."""
    start = max(0, len(versions) - budgets.TESTED_VERSIONS)
    yield from pairwise(versions[: start + 1])
    yield from combinations(versions[start:], 2)


def _version(version: VersionCounts) -> JudgeVersion:
    counts, nulls = version.counts, Nulls()
    alignment, baseline, bias = counts.alignment, counts.baseline, counts.bias
    assert isinstance(alignment, Estimate), "every version has comparisons"
    assert not isinstance(baseline, Undefined)
    assert not isinstance(bias, Undefined)
    tpr, tpr_low, tpr_high = nulls.estimate("tpr", counts.tpr)
    tnr, tnr_low, tnr_high = nulls.estimate("tnr", counts.tnr)
    return JudgeVersion(
        judge=version.judge,
        first_day=day_of(version.first_at),
        comparisons=counts.n,
        superseded=version.superseded,
        items=counts.items,
        tp=counts.tp,
        fn=counts.fn,
        tn=counts.tn,
        fp=counts.fp,
        alignment=alignment.value,
        alignment_low=alignment.low,
        alignment_high=alignment.high,
        baseline=baseline,
        bias=bias,
        kappa=nulls.number("kappa", counts.kappa),
        tpr=tpr,
        tpr_low=tpr_low,
        tpr_high=tpr_high,
        tnr=tnr,
        tnr_low=tnr_low,
        tnr_high=tnr_high,
        undefined=nulls.reasons,
    )


def _test(pair: VersionPair) -> VersionTest:
    nulls = Nulls()
    p_value = mcnemar(pair.first_only, pair.second_only) if pair.items else Undefined.NO_SHARED_ITEMS
    return VersionTest(
        first=pair.first,
        second=pair.second,
        items=pair.items,
        first_only=pair.first_only,
        second_only=pair.second_only,
        p_value=nulls.number("p_value", p_value),
        undefined=nulls.reasons,
    )


def _mark(trend: Trend, connection: sqlite3.Connection, scope: Scope, judges: Judges | None) -> None:
    """Add the new judge versions of a trend of a criterion."""
    criterion, metric = trend["criterion"], trend["metric"]
    if criterion is None:
        return
    marked = {
        name: versions
        for name, versions in _versions(connection, scope, criterion, metric, judges).items()
        if (name == metric if metric is not None else scope.rules.on_topic(criterion, name))
    }
    changes = [(name, change) for name, change in changes_of(marked) if scope.judge in (None, change.after.judge)]
    newest = changes[-budgets.CHANGES :]
    trend["epochs"] = judge_changes(connection, scope, criterion, newest)
    trend["epochs_total"] = len(changes)


def _trend(
    scope: Scope,
    pair: tuple[str | None, str | None],
    shares: dict[str, AlignedShare],
    by: TrendBasis,
) -> Trend:
    return Trend(
        queue=scope.queue,
        criterion=pair[0],
        metric=pair[1],
        window=scope.window.value,
        by=by,
        days=[TrendDay(day=day, week=None, **agreed(share)) for day, share in shares.items()],
        days_total=len(shares),
        days_left_out=0,
        epochs=[],
        epochs_total=0,
    )
