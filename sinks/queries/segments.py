"""Alignment by segment: comparisons of a criterion and metric by the value of a tag, by annotator, level or judge."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from typing import Final, NamedTuple, TypedDict

from aggregator.snapshot.build import Nulls
from aggregator.statistics.confusion import Confusion, Estimate, Undefined
from aggregator.statistics.error_side import ErrorSide, error_side
from aggregator.statistics.segments import FisherTest, ItemVotes, SegmentLean, SegmentTest, differences
from sinks import budgets
from sinks.queries.results import WindowName
from sinks.queries.scope import HUMAN_PASS, OF_JUDGE, TAG_VALUE, TAGGED_ITEM, Scope

TAG: Final = "tag:"
"""Prefix of a tag's name in `by`."""
_COLUMNS: Final = {
    "annotator": "CASE WHEN a.median IS NULL THEN a.annotator END",
    "level": "a.level",
    "judge": "e.judge",
}
ATTRIBUTES: Final = tuple(_COLUMNS)
"""What comparisons can be divided by, other than tags."""
_FROM: Final = f"""
FROM annotations AS a INDEXED BY annotations_people CROSS JOIN evaluations AS e INDEXED BY evaluations_current
    ON e.item_id = a.item_id AND e.metric = :metric AND e.current = 1 AND {OF_JUDGE}
"""
_WHERE: Final = "WHERE a.queue = :queue AND a.criterion = :criterion AND a.counted = 1 AND a.at >= :start"


def _tags_of(table: str, row: str) -> str:
    """SQL: the tags of a row; NULL without any."""
    return f"(SELECT x.tags FROM {table} AS x INDEXED BY {table}_tags WHERE x.id = {row} AND x.tags IS NOT NULL)"


def _votes_of(weight: str, condition: str = "1") -> str:
    """SQL: the items whose `weight` is not 0 by cell, in the order of ItemVotes."""
    cells = (
        f"{weight} > 0 AND passed = 1",
        f"{weight} > 0 AND passed = 0",
        f"{weight} < 0 AND passed = 0",
        f"{weight} < 0 AND passed = 1",
    )
    return ", ".join(f"sum({cell} AND {condition})" for cell in cells)


# Most annotations of an item decide whether people pass it: m, w and w - m are above 0 where they do, of the segment,
# of the whole item, and of what the item has in other segments. An item has one verdict of the metric. Materialized,
# because a value in GROUP BY would be looked up twice. Almost all items are in one segment: only the others are sorted
# by value.
_SEGMENTS: Final = f"""
WITH compared AS MATERIALIZED (
    SELECT {{value}} AS value, a.item_id AS item_id, e.passed AS passed, {HUMAN_PASS} AS human {_FROM} {_WHERE}),
items AS MATERIALIZED (
    SELECT item_id, passed, min(value) AS value, sum(human) AS passes, sum(NOT human) AS fails,
        min(value) IS max(value) AND count(value) IN (0, count(*)) AS whole
    FROM compared GROUP BY item_id),
voted AS (
    SELECT c.value AS value, c.item_id AS item_id, c.passed AS passed, sum(c.human) AS passes, sum(NOT c.human) AS fails
    FROM compared AS c WHERE c.item_id IN (SELECT item_id FROM items WHERE NOT whole) GROUP BY c.value, c.item_id),
weighed AS (
    SELECT value, passed, passes, fails, passes - fails AS m, passes - fails AS w, 1 AS place
    FROM items WHERE whole
    UNION ALL SELECT value, passed, passes, fails, passes - fails, sum(passes - fails) OVER item,
        row_number() OVER (PARTITION BY item_id ORDER BY value)
    FROM voted WINDOW item AS (PARTITION BY item_id)),
divided (value, tp, fn, tn, fp, items, m1, m2, m3, m4, w1, w2, w3, w4, o1, o2, o3, o4, all1, all2, all3, all4) AS (
    SELECT value, sum(passes * passed), sum(passes * (1 - passed)), sum(fails * (1 - passed)), sum(fails * passed),
        count(*), {_votes_of("m")},
        {_votes_of("w")}, {_votes_of("w - m")}, {_votes_of("w", "place = 1")}
    FROM weighed GROUP BY value)
SELECT count(*) OVER (), sum(tp + fn + tn + fp) OVER (), sum(fn + fp) OVER (), sum(all1) OVER (),
    sum(all2) OVER (), sum(all3) OVER (), sum(all4) OVER (), *
FROM divided ORDER BY items DESC, value LIMIT {budgets.SEGMENTS_READ}
"""
# Comparisons with the same tags are counted first. json_patch merges objects: a name counts once for a comparison.
_TAGS: Final = f"""
WITH alike AS MATERIALIZED (
    SELECT {_tags_of("annotations", "a.id")} AS of_annotation, {_tags_of("queue_items", TAGGED_ITEM)} AS of_item,
        {_tags_of("evaluations", "e.id")} AS of_evaluation, count(*) AS comparisons
    {_FROM} {_WHERE} GROUP BY 1, 2, 3)
SELECT t.key FROM alike CROSS JOIN json_each(json_patch(json_patch(
    ifnull(of_annotation, '{{}}'), ifnull(of_item, '{{}}')), ifnull(of_evaluation, '{{}}'))) AS t
GROUP BY t.key ORDER BY sum(comparisons) DESC, t.key LIMIT {budgets.TAGS}
"""


class SegmentAlignment(TypedDict):
    """Comparisons with the same value, and how they differ from the rest.

    Intervals are Wilson 95 % over distinct items.
    """

    value: str | None
    """The value; null for comparisons without the tag, and for those without a name of annotator or judge. Under policy
    `majority` a comparison has no annotator, and the tags of the newest annotation.
    """
    comparisons: int
    """Number of comparisons."""
    items: int
    """Distinct items among them."""
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
    alignment_low: float
    """Lower bound of the interval of `alignment`."""
    alignment_high: float
    """Upper bound of the interval of `alignment`."""
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
    rest_alignment: float | None
    """Alignment of all other comparisons."""
    p_value: float | None
    """p value of Fisher's exact test of the segment's items against those of the rest. An item counts once on each
    side, by the majority of its annotations there; a tie does not count.
    """
    p_adjusted: float | None
    """The same by Holm, over all segments that are tested."""
    differs: bool
    """Whether `p_adjusted` is below 0.05."""
    passes_p_adjusted: float | None
    """p value of Fisher's exact test of what the metric fails of the items that people pass, against the rest, by Holm
    over all tests of this and of `fails_p_adjusted`.
    """
    fails_p_adjusted: float | None
    """The same of what it passes of the items that people fail."""
    lean: SegmentLean | None
    """Whether the metric is more lenient or stricter than in the rest, by these two tests below 0.05."""
    error_side: ErrorSide
    """The side on which the metric errs in the segment, by item."""
    rest_error_side: ErrorSide
    """The side on which it errs in the rest."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


class Segments(TypedDict):
    """Comparisons of a criterion and metric by segment."""

    queue: str
    """Name of the queue."""
    criterion: str
    """Name of the criterion."""
    metric: str
    """Name of the metric."""
    window: WindowName
    """Days that are counted: UTC days up to today, or all."""
    by: str
    """What divides the comparisons: `annotator`, `level`, `judge`, or `tag:` and the name of a tag."""
    tags: list[str]
    """Names of tags of the comparisons, those of most comparisons first, at most 50."""
    tested: int
    """Number of segments that are tested, of the 1,000 with most items."""
    segments: list[SegmentAlignment]
    """Segments: those that differ and are aligned worse than the rest, the worst first; then those where the metric is
    more lenient or stricter; then those with most items. At most 100.
    """
    segments_total: int
    """Number of all segments."""


class _Votes(NamedTuple):
    """A row of `_SEGMENTS`."""

    value: str | None
    counts: Confusion
    own: ItemVotes
    whole: ItemVotes
    """Of the segment's items, by all of their annotations."""
    others: ItemVotes
    """Of the segment's items, by their annotations in other segments."""


class _Whole(NamedTuple):
    """All segments together, those that are not read included."""

    segments: int
    n: int
    misaligned: int
    votes: ItemVotes
    """Of each item once, by all of its annotations."""


class DividedComparisons(NamedTuple):
    """The segments with most items."""

    segments: list[SegmentAlignment]
    """In the order of `Segments.segments`."""
    tested: int
    total: int
    """Number of all segments."""


def segments(
    connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str, by: str | None = None
) -> Segments:
    """Comparisons of a criterion and metric by segment; without `by` by the tag of most comparisons, else by level.

    Raises ValueError for another `by` than `Segments.by` lists.
    """
    tags = [name for (name,) in connection.execute(_TAGS, scope.values(criterion, metric))]
    by = by or (f"{TAG}{tags[0]}" if tags else "level")
    divided = divide(connection, scope, criterion, metric, by)
    return Segments(
        queue=scope.queue,
        criterion=criterion,
        metric=metric,
        window=scope.window.value,
        by=by,
        tags=tags,
        tested=divided.tested,
        segments=divided.segments[: budgets.SEGMENTS],
        segments_total=divided.total,
    )


def divide(connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str, by: str) -> DividedComparisons:
    """Divide the comparisons of a criterion and metric. A tag may have any number of values, so few are read.

    Raises ValueError for another `by` than `Segments.by` lists.
    """
    votes, whole = _votes(connection, scope, criterion, metric, by)
    tests = differences({each.value: (each.own, _rest(each, whole)) for each in votes})
    found = [_segment(each, whole, tests[each.value]) for each in votes]
    found.sort(key=lambda segment: (*_worst(segment), -segment["items"], segment["value"] or ""))
    return DividedComparisons(found, sum(isinstance(test, SegmentTest) for test in tests.values()), whole.segments)


def _votes(
    connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str, by: str
) -> tuple[list[_Votes], _Whole]:
    value = TAG_VALUE if by.startswith(TAG) else _COLUMNS.get(by)
    if value is None:
        raise ValueError(f"{by!r} is not one of {', '.join(ATTRIBUTES)}, or {TAG} and a name")
    values = {**scope.values(criterion, metric), "tag": by.removeprefix(TAG)}
    rows = connection.execute(_SEGMENTS.format(value=f"nullif({value}, '')"), values)
    votes, whole = list[_Votes](), _Whole(0, 0, 0, ItemVotes(0, 0, 0, 0))
    for row in rows:
        total, n, misaligned, *all_items = row[:7]
        name, tp, fn, tn, fp, items, *numbers = row[7:]
        whole = _Whole(total, n, misaligned, ItemVotes(*all_items))
        counts = Confusion(tp=tp, fn=fn, tn=tn, fp=fp, items=items)
        votes.append(_Votes(name, counts, *(ItemVotes(*numbers[place : place + 4]) for place in (0, 4, 8))))
    return votes, whole


def _rest(segment: _Votes, whole: _Whole) -> ItemVotes:
    """The votes on items outside a segment: all but its own items, and its own by their other annotations."""
    cells = zip(whole.votes, segment.whole, segment.others, strict=True)
    return ItemVotes(*(all_items - own + others for all_items, own, others in cells))


def _worst(segment: SegmentAlignment) -> tuple[bool, float, bool]:
    """Order: worse than the rest first, the worst of them first; then more lenient or stricter ones."""
    rest = segment["rest_alignment"]
    worse = segment["differs"] and rest is not None and segment["alignment"] < rest
    leans = segment["lean"] in (SegmentLean.MORE_LENIENT, SegmentLean.STRICTER)
    return not worse, segment["alignment"] if worse else 0.0, not leans


def _segment(segment: _Votes, whole: _Whole, test: SegmentTest | Undefined) -> SegmentAlignment:
    rest = _rest(segment, whole)
    passes, fails, lean = (test,) * 3 if isinstance(test, Undefined) else (test.passes, test.fails, test.lean)
    nulls, counts = Nulls(), segment.counts
    alignment = counts.alignment
    assert isinstance(alignment, Estimate), "every segment has comparisons"
    tpr, tpr_low, tpr_high = nulls.estimate("tpr", counts.tpr)
    tnr, tnr_low, tnr_high = nulls.estimate("tnr", counts.tnr)
    elsewhere = whole.n - counts.n
    agreed = elsewhere - (whole.misaligned - counts.misaligned)
    return SegmentAlignment(
        value=segment.value,
        comparisons=counts.n,
        items=counts.items,
        tp=counts.tp,
        fn=counts.fn,
        tn=counts.tn,
        fp=counts.fp,
        alignment=alignment.value,
        alignment_low=alignment.low,
        alignment_high=alignment.high,
        tpr=tpr,
        tpr_low=tpr_low,
        tpr_high=tpr_high,
        tnr=tnr,
        tnr_low=tnr_low,
        tnr_high=tnr_high,
        rest_alignment=nulls.number("rest_alignment", agreed / elsewhere if elsewhere else Undefined.NO_REST),
        p_value=nulls.number("p_value", test if isinstance(test, Undefined) else test.alignment.p_value),
        p_adjusted=nulls.number("p_adjusted", test if isinstance(test, Undefined) else test.alignment.adjusted),
        differs=isinstance(test, SegmentTest) and test.alignment.significant,
        passes_p_adjusted=nulls.number("passes_p_adjusted", _adjusted(passes)),
        fails_p_adjusted=nulls.number("fails_p_adjusted", _adjusted(fails)),
        lean=nulls.number("lean", lean),
        error_side=error_side(segment.own.fn, segment.own.fp),
        rest_error_side=error_side(rest.fn, rest.fp),
        undefined=nulls.reasons,
    )


def _adjusted(test: FisherTest | Undefined) -> float | Undefined:
    return test if isinstance(test, Undefined) else test.adjusted
