"""Single comparisons: each an annotation with the current evaluation of one metric on its item."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import base64
import binascii
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any, Final, NamedTuple, NotRequired, TypedDict, cast

import orjson

from aggregator.days import Window
from aggregator.facts import Direction, Level
from aggregator.ratings import Thumbs
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import OUTCOMES, Outcome
from sinks.queries.item_urls import item_address
from sinks.queries.scope import HUMAN_PASS, ON_TOPIC, RATING, TAG_VALUE, Scope, Values
from sinks.queries.search import SearchState, search_items
from streams.runtime.errors import EvalAlignmentError

PAGE_LIMIT: Final = 500
"""Largest number of comparisons on a page."""

LIMIT: Final = ":pass_stars"
"""In the SQL here and in `HUMAN_PASS`: the stars from which annotation `a` is a human pass."""
ComparisonsByOutcome = dict[Outcome, int]
"""Number of comparisons by outcome."""

_OUTCOME: Final = {
    "tp": f"({HUMAN_PASS} AND e.passed = 1)",
    "fn": f"({HUMAN_PASS} AND e.passed = 0)",
    "tn": f"(NOT {HUMAN_PASS} AND e.passed = 0)",
    "fp": f"(NOT {HUMAN_PASS} AND e.passed = 1)",
}

# The texts are read after the page is chosen, and one comparison at a time: sorting would read those of all.
_CHOSEN: Final = "SELECT a.id, e.id {where} ORDER BY {order} LIMIT :limit OFFSET :offset"
# Annotation `a` counts, and `t` has the texts and the rating. Under the policy `majority` it is one with the median.
_COMPARISON: Final = f"""
SELECT a.item, a.level, a.criterion, a.annotator, a.at, t.thumbs, t.stars, t.explanation, t.expected,
    e.metric, e.at, e.judge, e.score, e.threshold, e.direction, e.reason,
    coalesce(t.url, q.url, e.url), coalesce(t.input, q.input, e.input), coalesce(t.output, q.output, e.output),
    e.tags, q.tags, t.tags, e.passed, {HUMAN_PASS}, CASE WHEN a.median IS NOT NULL THEN (
        SELECT json_group_object(rating, annotations) FROM (
            SELECT coalesce(g.thumbs, g.stars) AS rating, count(*) AS annotations FROM annotations AS g
            WHERE g.queue = a.queue AND g.item_id = a.item_id AND g.criterion = a.criterion AND g.deleted = 0
            GROUP BY rating ORDER BY annotations DESC, rating)) END
FROM annotations AS a CROSS JOIN evaluations AS e
JOIN annotations AS t ON t.id = CASE WHEN a.median IS NULL THEN a.id ELSE (
    SELECT g.id FROM annotations AS g
    WHERE g.queue = a.queue AND g.item_id = a.item_id AND g.criterion = a.criterion AND g.deleted = 0
        AND {RATING.replace("a.", "g.")} = a.median
    ORDER BY g.explanation IS NULL, g.version DESC, g.annotator DESC LIMIT 1) END
LEFT JOIN queue_items AS q ON q.queue = a.queue AND q.item_id = a.item_id
WHERE a.id = :annotation AND e.id = :evaluation
"""
_FROM: Final = """
FROM annotations AS a INDEXED BY annotations_{index} CROSS JOIN evaluations AS e INDEXED BY evaluations_current
    ON e.item_id = a.item_id AND e.current = 1
WHERE a.queue = :queue AND a.counted = 1
"""


class ComparisonSort(StrEnum):
    """Orders of comparisons. Equal ones are ordered newest first."""

    NEWEST = "newest"
    """Newest annotation first."""
    DISSENT = "dissent"
    """Stars farthest from the pass mark first, thumbs last; then scores farthest from the threshold first."""
    THRESHOLD = "threshold"
    """Scores closest to the threshold first."""


STRENGTH: Final = """
abs(CASE WHEN a.median IS NULL THEN a.stars WHEN a.median > 1 THEN a.median - 1 END - :pass_stars + 0.5)
"""
"""SQL: how far the stars that annotation `a` is compared with are from the pass mark; NULL for thumbs."""
MARGIN: Final = "abs(e.score - e.threshold)"
"""SQL: how far the score of evaluation `e` is from its threshold."""

_NEWEST: Final = "a.at DESC, a.item DESC, a.criterion DESC, a.annotator DESC, e.metric DESC"
_ORDERS: Final = {
    ComparisonSort.NEWEST: _NEWEST,
    ComparisonSort.DISSENT: f"{STRENGTH} DESC NULLS LAST, {MARGIN} DESC NULLS LAST, {_NEWEST}",
    ComparisonSort.THRESHOLD: f"{MARGIN} ASC NULLS LAST, {_NEWEST}",
}
_CHOICES: Final = {
    "criterion": "a.criterion = :criterion",
    "metric": "e.metric = :metric",
    "annotator": """CASE WHEN a.median IS NULL THEN a.annotator = :annotator ELSE EXISTS (
        SELECT 1 FROM annotations AS g
        WHERE g.queue = a.queue AND g.item_id = a.item_id AND g.criterion = a.criterion AND g.deleted = 0
            AND g.annotator = :annotator) END""",
    "level": "a.level = :level",
    "judge": "e.judge = :judge",
}
_NOT_OLDER: Final = """
AND a.at >= :oldest_at AND (a.at, a.item, a.criterion, a.annotator) >= (
    :oldest_at, :oldest_item, :oldest_criterion, :oldest_annotator)
"""
_AFTER: Final = """
AND a.at <= :at
AND (a.at, a.item, a.criterion, a.annotator, e.metric) < (:at, :item, :row, :column, :name)
"""


class Comparison(TypedDict):
    """One comparison. Texts are as the events had them: escape them before you show them."""

    item: str
    """Id of the item."""
    level: Level
    """Level of the item: trace, span or thread."""
    criterion: str
    """Name of the criterion."""
    annotator: str
    """Name of the annotator; empty when the annotation has none, and under policy `majority`."""
    annotated_at: int
    """Time of the annotation, milliseconds since 1970; under policy `majority` that of the newest one."""
    thumbs: Thumbs | None
    """Rating by thumbs; null when it is by stars. Under policy `majority` the median of the ratings."""
    stars: int | None
    """Rating by stars, 1 to 5; null when it is by thumbs. Under policy `majority` the median of the ratings."""
    ratings: NotRequired[dict[str, int]]
    """Under policy `majority`, number of annotations by rating: `up`, `down`, `1` to `5`. Else left out."""
    explanation: str | None
    """The annotator's explanation. Under policy `majority` the newest one of an annotation that has the median; so are
    the other fields of the annotation.
    """
    expected: str | None
    """The output that the annotator expected."""
    metric: str
    """Name of the metric."""
    evaluated_at: int
    """Time of the evaluation, milliseconds since 1970."""
    judge: str
    """Version of the metric; empty when the evaluation has none."""
    score: float | None
    """Score of the evaluation."""
    threshold: float | None
    """Score from which the evaluation passes."""
    direction: Direction
    """Whether higher or lower scores pass."""
    passed: bool
    """Whether the metric passes the item."""
    reason: str | None
    """The metric's reason."""
    outcome: Outcome
    """Cell of the confusion matrix; people are the truth."""
    url: str | None
    """Address of the item: of the annotation, else of the queue item or the evaluation, else by `item_url`."""
    input: str | None
    """What the application received: of the annotation, else of the queue item, else of the evaluation."""
    output: str | None
    """What the application answered, by the same order."""
    tags: dict[str, str]
    """Value of each tag: of the annotation, else of the queue item, else of the evaluation."""


class Page(TypedDict):
    """A page of comparisons."""

    comparisons: list[Comparison]
    """Comparisons, newest annotation first."""
    next: str | None
    """`cursor` of the following page; null at the end."""
    search: NotRequired[SearchState]
    """What the search does not look at. Only with a search."""


class CursorError(EvalAlignmentError, ValueError):
    """The cursor does not come from an earlier page."""


class AnnotationPlace(NamedTuple):
    """The place of an annotation in the order of a queue's annotations by time."""

    at: int
    item: str
    criterion: str
    annotator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A choice of comparisons and a page of them. None and empty mean all."""

    queue: str
    criterion: str | None = None
    metric: str | None = None
    outcomes: Sequence[Outcome] = ()
    annotator: str | None = None
    level: str | None = None
    judge: str | None = None
    tag: tuple[str, str] | None = None
    """Name and value of a tag."""
    search: str | None = None
    """Words of the items. `find` looks them up."""
    found: str | None = None
    """The items that `search` finds: their ids in the store as a JSON array."""
    since: int = 0
    """Time in ms of the first annotations."""
    until: int | None = None
    """Time in ms from which annotations are left out."""
    oldest: AnnotationPlace | None = None
    """The oldest annotation that is looked at; `sinks.queries.items.newest_only` sets it."""
    on_topic: bool = False
    """Whether to leave out the pairs that the setting `criterion_metrics` leaves out."""
    window: Window = Window.ALL
    sort: ComparisonSort = ComparisonSort.NEWEST
    cursor: str | None = None
    """Where the page starts: `next` of the previous page. Only with the order `NEWEST`."""
    offset: int = 0
    """Number of comparisons before the page, without a cursor."""
    limit: int = 50
    """Size of the page, 1 to `PAGE_LIMIT`."""
    most_bytes: int | None = None
    """Bytes of texts after which the page ends early. Only with the order `NEWEST`, whose next page has a cursor."""

    @property
    def narrowed(self) -> bool:
        """Whether more than criterion, metric, outcomes and window choose, so that no document has the number."""
        choices = (self.annotator, self.level, self.judge, self.tag, self.search, self.since)
        return any(choices) or self.until is not None


def comparisons(
    connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date, item_url: str = ""
) -> Page:
    """A page of comparisons in the state that a connection sees.

    `item_url` is the template of an item's address, with `{item}` and `{level}`, for items whose events have no url.
    Raises CursorError.
    """
    query, search = find(connection, query)
    where, values = chosen_rows(query, rules, today)
    if query.cursor is not None:
        where += _AFTER
        values.update(zip(("at", "item", "row", "column", "name"), _parse(query.cursor), strict=True))
    values.update(limit=query.limit + 1, offset=query.offset)
    limit, limits = pass_limit(query, rules)
    sql = _CHOSEN.format(where=where, order=_ORDERS[query.sort].replace(LIMIT, limit))
    chosen = connection.execute(sql, values).fetchall()
    page: list[Comparison] = []
    following = None
    left = query.most_bytes
    for annotation, evaluation in chosen[: query.limit]:
        ids = {"annotation": annotation, "evaluation": evaluation, **limits}
        row = connection.execute(_COMPARISON.replace(LIMIT, limit), ids).fetchone()
        page.append(_comparison(row, item_url))
        following = _cursor(row)
        if left is not None:
            left -= sum(len(column.encode()) for column in row if isinstance(column, str))
            if left <= 0:
                break
    answer = Page(comparisons=page, next=following if len(chosen) > len(page) else None)
    if search is not None:
        answer["search"] = search
    return answer


def find(connection: sqlite3.Connection, query: Query) -> tuple[Query, SearchState | None]:
    """The query with what its search finds in the state that a connection sees, and what the search leaves out."""
    if query.search is None:
        return query, None
    items, state = search_items(connection, query.queue, query.search)
    return replace(query, found=orjson.dumps(items).decode()), state


def count_outcomes(
    connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date
) -> ComparisonsByOutcome:
    """The number of comparisons on all pages of a query by outcome, whichever outcomes it chooses."""
    where, values = chosen_rows(replace(query, outcomes=()), rules, today)
    limit = pass_limit(query, rules)[0]
    counts = ", ".join(f"count(*) FILTER (WHERE {_OUTCOME[outcome].replace(LIMIT, limit)})" for outcome in OUTCOMES)
    numbers = connection.execute(f"SELECT {counts} {where}", values).fetchone()
    return dict(zip(OUTCOMES, numbers, strict=True))


def chosen_rows(query: Query, rules: CountingRules, today: date, *, by_item: bool = False) -> tuple[str, Values]:
    """SQL from FROM on, with the values that it binds: annotations `a` and evaluations `e` of a choice.

    `by_item`: the caller adds a condition on `a.item_id` by which few rows are found. Else they are in order of time.
    """
    scope = Scope(query.queue, query.window, today, rules)
    sql = _FROM.format(index="identity" if by_item or query.search is not None else "newest")
    limit, limits = pass_limit(query, rules)
    values: Values = {"queue": query.queue, **limits}
    for name, condition in _CHOICES.items():
        if (value := getattr(query, name)) is not None:
            sql += f" AND {condition}"
            values[name] = value
    if query.on_topic and rules.criterion_metrics:
        sql += f" AND {ON_TOPIC}"
        values.update(scope.topic_values())
    if query.outcomes:
        outcomes = " OR ".join(_OUTCOME[outcome] for outcome in query.outcomes)
        sql += f" AND ({outcomes.replace(LIMIT, limit)})"
    if start := max(scope.start, query.since):
        sql += " AND a.at >= :start"
        values["start"] = start
    if query.until is not None:
        sql += " AND a.at < :until"
        values["until"] = query.until
    if query.oldest is not None:
        sql += _NOT_OLDER
        values.update((f"oldest_{name}", value) for name, value in query.oldest._asdict().items())
    if query.tag is not None:
        sql += f" AND {TAG_VALUE} = :tag_value"
        values["tag"], values["tag_value"] = query.tag
    if query.search is not None:
        assert query.found is not None, "the search was looked up"
        sql += " AND a.item_id IN (SELECT value FROM json_each(:found))"
        values["found"] = query.found
    return sql, values


def pass_limit(query: Query, rules: CountingRules) -> tuple[str, Values]:
    """SQL of the stars from which annotation `a` is a human pass, and the values that it binds."""
    if query.criterion is not None:
        return LIMIT, {"pass_stars": rules.pass_limit(query.criterion)}
    names = {f"criterion_{index}": criterion for index, criterion in enumerate(rules.pass_stars_by_criterion)}
    cases = " ".join(f"WHEN :{name} THEN {rules.pass_limit(criterion)}" for name, criterion in names.items())
    return f"CASE a.criterion {cases} ELSE {LIMIT} END" if cases else LIMIT, {"pass_stars": rules.pass_stars, **names}


def _comparison(row: Sequence[Any], item_url: str) -> Comparison:
    *columns, evaluation_tags, queue_item_tags, annotation_tags, passed, human, ratings = row
    names = (
        "item", "level", "criterion", "annotator", "annotated_at", "thumbs", "stars", "explanation",
        "expected", "metric", "evaluated_at", "judge", "score", "threshold", "direction", "reason", "url", "input",
        "output",
    )  # fmt: skip
    comparison: Any = dict(zip(names, columns, strict=True))
    comparison["url"] = item_address(comparison["url"], item_url, comparison["item"], comparison["level"])
    comparison["tags"] = {
        name: value
        for tags in (evaluation_tags, queue_item_tags, annotation_tags)
        for name, value in orjson.loads(tags or "{}").items()
    }
    comparison["passed"] = bool(passed)
    comparison["outcome"] = ("tn", "fp", "fn", "tp")[2 * bool(human) + bool(passed)]
    if ratings is not None:
        comparison["annotator"], comparison["ratings"] = "", orjson.loads(ratings)
    return cast("Comparison", comparison)


def _cursor(last: Sequence[Any]) -> str:
    item, _, criterion, annotator, at, *_, metric = last[:10]
    key = (at, item, criterion, annotator, metric)
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _parse(cursor: str) -> list[str | int]:
    try:
        key = orjson.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error) as error:
        raise CursorError("not a cursor of an earlier page") from error
    if not isinstance(key, list) or [type(part) for part in key] != [int, str, str, str, str] or abs(key[0]) >= 2**63:
        raise CursorError("not a cursor of an earlier page")
    return key
