"""Two judges side by side: two metrics, or two versions of one, on the items that both judged."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple, TypedDict

from aggregator.snapshot.build import Nulls
from aggregator.statistics.confusion import Confusion, Undefined
from aggregator.statistics.versions import mcnemar
from sinks.queries.results import WindowName
from sinks.queries.rows import PEOPLE
from sinks.queries.scope import Scope


class JudgedBy(NamedTuple):
    """A metric, or one version of it."""

    metric: str
    judge: str | None
    """The version; None for the current verdict on each item."""


class JudgeSide(TypedDict):
    """One of the two, on the items that both judged."""

    metric: str
    """Name of the metric."""
    judge: str | None
    """Judge version; null for the current verdict on each item."""
    comparisons: int
    """Number of comparisons: annotations of the items."""
    tp: int
    """Human pass, metric pass."""
    fn: int
    """Human pass, metric fail."""
    tn: int
    """Human fail, metric fail."""
    fp: int
    """Human fail, metric pass."""
    alignment: float | None
    """Share of comparisons in which people and metric agree."""
    alignment_low: float | None
    """Lower bound of its 95 % interval, on distinct items."""
    alignment_high: float | None
    """Upper bound."""
    tpr: float | None
    """True positive rate."""
    tnr: float | None
    """True negative rate."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null, other than `judge`."""


class SideBySide(TypedDict):
    """Two judges on the same items. An item counts once in `both` to `tied`, by the majority of its annotators."""

    queue: str
    """Name of the queue."""
    criterion: str
    """Name of the criterion."""
    window: WindowName
    """Days that are counted: UTC days up to today, or all."""
    items: int
    """Items that both judged and people annotated."""
    both: int
    """Items on which both agree with most annotators."""
    first_only: int
    """Items on which only the first does."""
    second_only: int
    """Items on which only the second does."""
    neither: int
    """Items on which neither does."""
    tied: int
    """Items whose annotators are divided equally."""
    p_value: float | None
    """p value of McNemar's exact test of `first_only` against `second_only`."""
    first: JudgeSide
    """The first of the two."""
    second: JudgeSide
    """The second."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


def _verdict(name: str, *, of_version: bool) -> str:
    """SQL: the verdict on an item; a superseded one counts for its own version."""
    index, which = "current", "{name}.current = 1"
    if of_version:
        index, which = "identity", "{name}.failure = 0 AND {name}.deleted = 0 AND {name}.judge = :{name}_judge"
    return f"""
    CROSS JOIN evaluations AS {name} INDEXED BY evaluations_{index}
        ON {name}.item_id = p.item_id AND {name}.metric = :{name}_metric AND {which.format(name=name)}
    """


_SIDE_BY_SIDE: Final = f"""
WITH {PEOPLE}
SELECT e.passed, f.passed, CASE WHEN p.passes > p.fails THEN 1 WHEN p.passes < p.fails THEN 0 END,
    count(*), sum(p.passes), sum(p.fails)
FROM people AS p {{first}} {{second}}
GROUP BY 1, 2, 3
"""


class _AlikeItems(NamedTuple):
    """Items of the same verdicts and the same majority."""

    first: int
    second: int
    majority: int | None
    """Whether most annotators pass the items; None for a tie."""
    items: int
    passes: int
    fails: int


def side_by_side(
    connection: sqlite3.Connection, scope: Scope, criterion: str, first: JudgedBy, second: JudgedBy
) -> SideBySide:
    """Two judges on the items of a criterion that both judged."""
    values = {
        **scope.values(criterion),
        "e_metric": first.metric,
        "e_judge": first.judge,
        "f_metric": second.metric,
        "f_judge": second.judge,
    }
    sql = _SIDE_BY_SIDE.format(
        first=_verdict("e", of_version=first.judge is not None),
        second=_verdict("f", of_version=second.judge is not None),
    )
    groups = [_AlikeItems(*row) for row in connection.execute(sql, values)]

    def items(*, first_right: bool, second_right: bool) -> int:
        wanted = first_right, second_right
        return sum(
            group.items
            for group in groups
            if group.majority is not None and (group.first == group.majority, group.second == group.majority) == wanted
        )

    first_only, second_only = items(first_right=True, second_right=False), items(first_right=False, second_right=True)
    shared, nulls = sum(group.items for group in groups), Nulls()
    return SideBySide(
        queue=scope.queue,
        criterion=criterion,
        window=scope.window.value,
        items=shared,
        both=items(first_right=True, second_right=True),
        first_only=first_only,
        second_only=second_only,
        neither=items(first_right=False, second_right=False),
        tied=sum(group.items for group in groups if group.majority is None),
        p_value=nulls.number("p_value", mcnemar(first_only, second_only) if shared else Undefined.NO_SHARED_ITEMS),
        first=_side(first, ((group.first, group) for group in groups)),
        second=_side(second, ((group.second, group) for group in groups)),
        undefined=nulls.reasons,
    )


def _side(judge: JudgedBy, verdicts: Iterable[tuple[int, _AlikeItems]]) -> JudgeSide:
    tp = fn = tn = fp = items = 0
    for passed, group in verdicts:
        items += group.items
        if passed:
            tp, fp = tp + group.passes, fp + group.fails
        else:
            fn, tn = fn + group.passes, tn + group.fails
    counts, nulls = Confusion(tp, fn, tn, fp, items), Nulls()
    alignment, low, high = nulls.estimate("alignment", counts.alignment)
    return JudgeSide(
        metric=judge.metric,
        judge=judge.judge,
        comparisons=counts.n,
        tp=tp,
        fn=fn,
        tn=tn,
        fp=fp,
        alignment=alignment,
        alignment_low=low,
        alignment_high=high,
        tpr=nulls.rate("tpr", counts.tpr),
        tnr=nulls.rate("tnr", counts.tnr),
        undefined=nulls.reasons,
    )
