"""Items of a queue, chosen and ordered by their comparisons."""

# SQL is put together from constants of this package alone; values are always bound.

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from typing import Final

import orjson

from aggregator.snapshot.inputs import CountingRules
from sinks.queries.comparisons import LIMIT, MARGIN, STRENGTH, ComparisonSort, Query, chosen_rows, pass_limit

PairNames = tuple[str, str, str]
"""Criterion, annotator and metric: one comparison of an item."""

_NEWEST: Final = "max(a.at) DESC, a.item_id DESC"
_ORDERS: Final = {
    ComparisonSort.NEWEST: _NEWEST,
    ComparisonSort.DISSENT: f"max({STRENGTH}) DESC NULLS LAST, max({MARGIN}) DESC NULLS LAST, {_NEWEST}",
    ComparisonSort.THRESHOLD: f"min({MARGIN}) ASC NULLS LAST, {_NEWEST}",
}
_CHOSEN: Final = """
SELECT a.item_id, count(*) OVER (), sum(count(*)) OVER () {rows}
GROUP BY a.item_id ORDER BY {order} LIMIT :limit OFFSET :offset
"""
_TOTALS: Final = "SELECT count(DISTINCT a.item_id), count(*) {rows}"
_PAIRS: Final = """
SELECT a.item_id, a.criterion, a.annotator, e.metric {rows} AND a.item_id IN (SELECT value FROM json_each(:items))
"""


@dataclass(frozen=True, slots=True)
class ChosenItems:
    """A page of items with at least one comparison of a choice."""

    items: Sequence[int]
    """Ids of the items in the store."""
    pairs: Mapping[int, AbstractSet[PairNames]]
    """The chosen comparisons of each of them."""
    total: int
    """Number of items on all pages."""
    comparisons: int
    """Number of their chosen comparisons."""


def chosen_items(connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date) -> ChosenItems:
    """A page of items in the state that a connection sees, ordered by the first of their chosen comparisons."""
    sql, values = chosen_rows(query, rules, today)
    page = {**values, "limit": query.limit, "offset": query.offset}
    order = _ORDERS[query.sort].replace(LIMIT, pass_limit(query, rules)[0])
    rows = connection.execute(_CHOSEN.format(rows=sql, order=order), page).fetchall()
    if not rows:
        # A page after the last one.
        total, comparisons = connection.execute(_TOTALS.format(rows=sql), values).fetchone() if query.offset else (0, 0)
        return ChosenItems([], {}, total, comparisons)
    items = [item for item, *_ in rows]
    pairs: dict[int, set[PairNames]] = defaultdict(set)
    values["items"] = orjson.dumps(items).decode()
    for item, criterion, annotator, metric in connection.execute(_PAIRS.format(rows=sql), values):
        pairs[item].add((criterion, annotator, metric))
    return ChosenItems(items, pairs, *rows[0][1:])
