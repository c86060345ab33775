"""What people did on the same items: annotators compared with the others, and items on which people disagree."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from typing import Any, Final, NotRequired, TypedDict

from aggregator.facts import Level
from aggregator.ratings import Thumbs
from aggregator.snapshot.build import Nulls
from aggregator.statistics.annotators import SharedItems
from aggregator.statistics.confusion import Undefined
from sinks import budgets
from sinks.queries.results import WindowName
from sinks.queries.scope import OWN_PASS, Scope, Values

STANDING: Final = """
FROM annotations AS a INDEXED BY annotations_people
WHERE a.queue = :queue AND a.criterion = :criterion AND a.deleted = 0 AND a.at >= :start
    AND a.item_id NOT IN (
        SELECT q.item_id FROM queue_items AS q INDEXED BY queue_items_removed WHERE q.queue = :queue AND q.deleted = 1)
"""
"""SQL: every standing annotation `a` of a criterion, under any policy, because people are compared and not metrics."""
_ANNOTATORS: Final = f"""
WITH standing AS (
    SELECT a.annotator AS annotator, {OWN_PASS} AS own, count(*) OVER item AS people,
        sum({OWN_PASS}) OVER item AS passes
    {STANDING} WINDOW item AS (PARTITION BY a.item_id)),
compared AS (
    SELECT annotator, own, people - 1 AS pairs, people > 1 AS shared,
        CASE WHEN own THEN passes - 1 ELSE people - passes - 1 END AS agreed,
        CASE WHEN people > 1 THEN 1.0 * (passes - own) / (people - 1) ELSE 0.0 END AS others
    FROM standing)
SELECT annotator, count(*), sum(shared), sum(shared * own), sum(others), sum(others * others), sum(own * others),
    sum(pairs), sum(shared * agreed)
FROM compared GROUP BY annotator ORDER BY count(*) DESC, annotator
"""
_OF_DISPUTED: Final = f"""
FROM (
    SELECT a.item_id AS item_id, count(*) AS people, sum({OWN_PASS}) AS passes, max(a.at) AS at
    {STANDING} GROUP BY a.item_id)
WHERE passes > 0 AND passes < people
"""
_DISPUTED: Final = f"SELECT count(*) {_OF_DISPUTED}"
_DISAGREEMENTS: Final = f"""
SELECT item_id, people, passes, count(*) OVER () {_OF_DISPUTED}
ORDER BY people DESC, abs(2 * passes - people), at DESC, item_id LIMIT :limit OFFSET :skip
"""
# The newest of those who pass the item and of those who fail it, in turn. Texts are read after the answers are chosen,
# and one answer at a time: an item may have any number of them.
_CHOSEN: Final = f"""
SELECT id FROM (
    SELECT a.id AS id, a.at AS at,
        row_number() OVER (PARTITION BY {OWN_PASS} ORDER BY a.at DESC, a.annotator) AS place
    FROM annotations AS a
    WHERE a.queue = :queue AND a.item_id = :item AND a.criterion = :criterion AND a.deleted = 0 AND a.at >= :start)
ORDER BY place, at DESC, id LIMIT {budgets.ITEM_READ}
"""
_ANSWER: Final = f"""
SELECT a.annotator, a.thumbs, a.stars, {OWN_PASS}, a.explanation, a.at, a.url FROM annotations AS a WHERE a.id = :answer
"""
_ITEM: Final = """
SELECT a.item, a.level, q.url FROM annotations AS a
LEFT JOIN queue_items AS q ON q.queue = a.queue AND q.item_id = a.item_id WHERE a.id = :answer
"""


class AnnotatorNumbers(TypedDict):
    """An annotator, compared with the other annotators of the same items."""

    annotator: str
    """Name of the annotator; empty for annotations without one."""
    annotations: int
    """Items that the annotator rated."""
    items: int
    """Those of them that somebody else rated too. All other numbers are about these."""
    agreement: float | None
    """Share of the pairs of this annotator with another one that agree on pass or fail, 0 to 1."""
    agreement_low: float | None
    """Lower bound of the interval of `agreement`."""
    agreement_high: float | None
    """Upper bound of the interval of `agreement`."""
    pass_rate: float | None
    """Share of the items that the annotator passes."""
    others_pass_rate: float | None
    """Mean share of the others that pass an item."""
    strictness: float | None
    """`others_pass_rate` minus `pass_rate`, -1 to 1: above 0 the annotator is stricter than the others."""
    strictness_low: float | None
    """Lower bound of the interval of `strictness`."""
    strictness_high: float | None
    """Upper bound of the interval of `strictness`."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


class Annotators(TypedDict):
    """The annotators of a criterion, under any policy."""

    queue: str
    """Name of the queue."""
    criterion: str
    """Name of the criterion."""
    window: WindowName
    """Days that are counted: UTC days up to today, or all."""
    annotators: list[AnnotatorNumbers]
    """Annotators, those with most annotations first, at most 200."""
    annotators_total: int
    """Number of all annotators."""


class HumanAnswer(TypedDict):
    """One person's rating of an item."""

    annotator: str | None
    """Name of the annotator; null without the setting `show_annotators`."""
    thumbs: Thumbs | None
    """Rating by thumbs; null when it is by stars."""
    stars: int | None
    """Rating by stars, 1 to 5; null when it is by thumbs."""
    passed: bool
    """Whether the person passes the item."""
    explanation: str | None
    """The annotator's explanation."""
    annotated_at: int
    """Time of the annotation, milliseconds since 1970."""


class DisputedItem(TypedDict):
    """An item that some people pass and others fail."""

    item: str
    """Id of the item."""
    level: Level
    """Level of the item: trace, span or thread."""
    url: str | None
    """Address of the item, of an annotation or the queue item."""
    passes: int
    """People who pass it."""
    fails: int
    """People who fail it."""
    answers: list[HumanAnswer]
    """Ratings, the lowest first: all, or of very many the newest of both sides."""
    answers_left_out: NotRequired[int]
    """Number of ratings that are not listed because the item has so many, or such long ones. Earlier releases do not
    send it.
    """


class Disagreements(TypedDict):
    """Items on which people disagree on pass or fail, under any policy."""

    queue: str
    """Name of the queue."""
    criterion: str
    """Name of the criterion."""
    window: WindowName
    """Days that are counted: UTC days up to today, or all."""
    total: int
    """Number of all such items."""
    items: list[DisputedItem]
    """Items with most annotators first; of equal ones the evenest split first, then the newest. Fewer than `limit` when
    their texts have about a megabyte.
    """
    next: NotRequired[int | None]
    """`skip` of the following page; null at the end. Earlier releases do not send it."""


def annotators(connection: sqlite3.Connection, scope: Scope, criterion: str) -> Annotators:
    """The annotators of a criterion, compared with the others on the same items."""
    rows = connection.execute(_ANNOTATORS, scope.values(criterion)).fetchall()
    return Annotators(
        queue=scope.queue,
        criterion=criterion,
        window=scope.window.value,
        annotators=[_annotator(name, number, SharedItems(*shared)) for name, number, *shared in rows[: budgets.PEOPLE]],
        annotators_total=len(rows),
    )


def _annotator(name: str, annotations: int, shared: SharedItems) -> AnnotatorNumbers:
    nulls = Nulls()
    agreement, low, high = nulls.estimate("agreement", shared.agreement)
    strictness, strictness_low, strictness_high = nulls.estimate("strictness", shared.strictness)
    return AnnotatorNumbers(
        annotator=name,
        annotations=annotations,
        items=shared.items,
        agreement=agreement,
        agreement_low=low,
        agreement_high=high,
        pass_rate=nulls.rate("pass_rate", shared.pass_rate),
        others_pass_rate=nulls.rate("others_pass_rate", shared.others_pass_rate),
        strictness=strictness,
        strictness_low=strictness_low,
        strictness_high=strictness_high,
        undefined=nulls.reasons,
    )


def disagreements(
    connection: sqlite3.Connection,
    scope: Scope,
    criterion: str,
    *,
    skip: int = 0,
    limit: int = 20,
    names: bool = False,
) -> Disagreements:
    """A part of the items on which people disagree; `names`: with names of annotators."""
    values = scope.values(criterion)
    chosen = connection.execute(_DISAGREEMENTS, {**values, "skip": skip, "limit": limit}).fetchall()
    # A page after the last one has no row with the total.
    total = chosen[0][-1] if chosen else connection.execute(_DISPUTED, values).fetchone()[0]
    items: list[DisputedItem] = []
    left = budgets.ANSWER_BYTES
    for item_id, people, passes, _ in chosen:
        item = _item(connection, {**values, "item": item_id}, people, passes, left, names=names)
        left -= budgets.size_of(item)
        # What does not fit is on the next page, where it is the first.
        if left < 0 and items:
            break
        items.append(item)
    following = skip + len(items)
    return Disagreements(
        queue=scope.queue,
        criterion=criterion,
        window=scope.window.value,
        total=total,
        items=items,
        next=following if following < total else None,
    )


def _item(
    connection: sqlite3.Connection, values: Values, people: int, passes: int, most_bytes: int, *, names: bool
) -> DisputedItem:
    ids = [id for (id,) in connection.execute(_CHOSEN, values).fetchall()]
    of_answer = [{**values, "answer": id} for id in ids]
    item, level, url = connection.execute(_ITEM, of_answer[0]).fetchone()
    rows = budgets.fitting((connection.execute(_ANSWER, each).fetchone() for each in of_answer), most_bytes)
    rows.sort(key=lambda row: (row[3], row[2] or 0, row[5], row[0]))
    return DisputedItem(
        item=item,
        level=level,
        url=next((row[6] for row in rows if row[6] is not None), url),
        passes=passes,
        fails=people - passes,
        answers=[_answer(*row[:6], names=names) for row in rows],
        answers_left_out=people - len(rows),
    )


def _answer(annotator: str, thumbs: Thumbs | None, stars: int | None, *rest: Any, names: bool) -> HumanAnswer:
    passed, explanation, at = rest
    return HumanAnswer(
        annotator=annotator if names else None,
        thumbs=thumbs,
        stars=stars,
        passed=bool(passed),
        explanation=explanation,
        annotated_at=at,
    )
