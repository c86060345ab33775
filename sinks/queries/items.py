"""Items of a queue, chosen and ordered by their comparisons."""

# SQL is put together from constants of this package alone; values are always bound.

import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date
from math import ceil
from typing import Final, NamedTuple

import orjson

from aggregator.snapshot.inputs import CountingRules
from sinks.queries.comparisons import (
    LIMIT,
    MARGIN,
    STRENGTH,
    AnnotationPlace,
    ComparisonSort,
    Query,
    chosen_rows,
    pass_limit,
)
from sinks.queries.scope import Scope

PairNames = tuple[str, str, str]
"""Criterion, annotator and metric: one comparison of an item."""

_NEWEST: Final = "a.at DESC, a.item_id DESC"
_ORDERS: Final = {
    ComparisonSort.NEWEST: _NEWEST,
    ComparisonSort.DISSENT: f"{STRENGTH} DESC NULLS LAST, {MARGIN} DESC NULLS LAST, {_NEWEST}",
    ComparisonSort.THRESHOLD: f"{MARGIN} ASC NULLS LAST, {_NEWEST}",
}
# Comparisons, not groups of them: SQLite keeps the first ones of an order alone, and of groups all.
_CHOSEN: Final = "SELECT a.item_id {rows} ORDER BY {order} LIMIT :most"
_TOTALS: Final = "SELECT count(DISTINCT a.item_id), count(*) {rows}"
_ANY: Final = "SELECT 1 {rows} AND a.item_id = :item LIMIT 1"
_PAIRS: Final = """
SELECT a.item_id, a.criterion, a.annotator, e.metric {rows} AND a.item_id IN (SELECT value FROM json_each(:items))
"""


_OLDEST: Final = """
SELECT a.at, a.item, a.criterion, a.annotator FROM annotations AS a INDEXED BY annotations_newest
WHERE a.queue = :queue AND a.counted = 1 AND a.at >= :since AND a.at < :until
    AND (:criterion IS NULL OR a.criterion = :criterion)
ORDER BY a.at DESC, a.item DESC, a.criterion DESC, a.annotator DESC LIMIT 2 OFFSET :later
"""
_NEVER: Final = 1 << 62


def newest_only(
    connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date, annotations: int
) -> Query:
    """The query of the newest annotations of its criterion and time alone, of so many; itself where it has no more."""
    scope = Scope(query.queue, query.window, today, rules)
    values = {
        "queue": query.queue,
        "criterion": query.criterion,
        "since": max(scope.start, query.since),
        "until": _NEVER if query.until is None else query.until,
        "later": annotations - 1,
    }
    oldest = connection.execute(_OLDEST, values).fetchall()
    return replace(query, oldest=AnnotationPlace(*oldest[0])) if len(oldest) > 1 else query


class ItemTotals(NamedTuple):
    """How many items a choice of comparisons has."""

    items: int
    """Number of items on all pages."""
    comparisons: int
    """Number of their chosen comparisons."""


@dataclass(frozen=True, slots=True)
class ChosenItems:
    """A page of items with at least one comparison of a choice."""

    items: Sequence[int]
    """Ids of the items in the store."""
    pairs: Mapping[int, AbstractSet[PairNames]]
    """The chosen comparisons of each of them."""


def count_items(connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date) -> ItemTotals:
    """The numbers of all pages of a choice, in the state that a connection sees."""
    sql, values = chosen_rows(query, rules, today)
    return ItemTotals(*connection.execute(_TOTALS.format(rows=sql), values).fetchone())


def chosen_items(
    connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date, totals: ItemTotals
) -> ChosenItems:
    """A page of items in the state that a connection sees, ordered by the first of their chosen comparisons.

    `totals` are those of `count_items`.
    """
    items = _page(connection, query, rules, today, totals) if query.offset < totals.items else []
    pairs: dict[int, set[PairNames]] = defaultdict(set)
    # Items that a search has found need not be found again.
    sql, values = chosen_rows(replace(query, search=None), rules, today, by_item=True)
    values["items"] = orjson.dumps(items).decode()
    for item, criterion, annotator, metric in connection.execute(_PAIRS.format(rows=sql), values):
        pairs[item].add((criterion, annotator, metric))
    return ChosenItems(items, pairs)


def ordered_items(connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date) -> "array[int]":
    """Ids in the store of the items of all pages of a choice, in order, in the state that a connection sees."""
    sql, values = chosen_rows(query, rules, today)
    rows = connection.execute(_choice(sql, query, rules), {**values, "most": -1})
    return array("q", dict.fromkeys(item for (item,) in rows))


def has_comparison(connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date, item: int) -> bool:
    """Whether an item, by its id in the store, has a comparison of a choice, whose search is not looked at."""
    sql, values = chosen_rows(replace(query, search=None), rules, today, by_item=True)
    return connection.execute(_ANY.format(rows=sql), {**values, "item": item}).fetchone() is not None


def _choice(sql: str, query: Query, rules: CountingRules) -> str:
    """SQL of the items of chosen rows in order, each once for every comparison."""
    return _CHOSEN.format(rows=sql, order=_ORDERS[query.sort].replace(LIMIT, pass_limit(query, rules)[0]))


def _page(
    connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date, totals: ItemTotals
) -> list[int]:
    sql, values = chosen_rows(query, rules, today)
    statement = _choice(sql, query, rules)
    wanted = min(query.offset + query.limit, totals.items)
    # Twice as many as items have on average: usually one attempt is enough.
    most = 2 * wanted * ceil(totals.comparisons / totals.items)
    while True:
        rows = connection.execute(statement, {**values, "most": most})
        items = list(dict.fromkeys(item for (item,) in rows))
        if len(items) >= wanted or most >= totals.comparisons:
            return items[query.offset : wanted]
        most *= 4
