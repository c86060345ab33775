"""What to label next: items placed in a queue without an annotation of a criterion.

In `random` every item is equally likely, so the annotated items stay a fair sample and all numbers unbiased. The other
strategies find errors faster and choose what is unlike the rest: their annotations are a biased sample.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from heapq import nsmallest
from typing import Any, Final, TypedDict

import orjson

from aggregator.facts import Level
from sinks import budgets
from sinks.queries.item_urls import item_address
from sinks.queries.scope import Scope

SAMPLED_BY: Final = "sampled_by"
"""The tag of an annotation with the strategy that chose its item."""
ITEMS: Final = 20
"""Number of items without a request for more."""
MOST_ITEMS: Final = 200
"""Most items in an answer."""
MOST_SEED: Final = 2**53
"""Largest seed."""
_PLACE_BYTES: Final = 6
"""Bytes of an item in a selection: of a million items two share them in one of 500 orders."""
SELECTION: Final = f"^([A-Za-z0-9_-]{{{_PLACE_BYTES * 4 // 3}}}){{1,{MOST_ITEMS}}}$"
"""Pattern of a selection."""


class Strategy(StrEnum):
    """How items are chosen."""

    RANDOM = "random"
    """Every item is equally likely; a seed determines the order."""
    BOUNDARY = "boundary"
    """Scores near the threshold first: the rank of the distance among all scores of the metric."""
    DISAGREEMENT = "disagreement"
    """Items that some metrics pass and others fail, evenly divided ones first."""


class NextItem(TypedDict):
    """An item to annotate. Verdicts are left out: they would influence who annotates it."""

    item: str
    """Id of the item."""
    level: Level
    """Level of the item: trace, span or thread."""
    url: str | None
    """Address of the item: of the queue item, else of an evaluation, else by `item_url`."""
    input: str | None
    """What the application received: of the queue item, else of an evaluation."""
    output: str | None
    """What the application answered, by the same order."""


class NextItems(TypedDict):
    """Items to annotate next."""

    queue: str
    """Name of the queue."""
    criterion: str
    """Name of the criterion."""
    metric: str | None
    """The metric whose scores choose; null for all that are on topic."""
    strategy: str
    """`random`, `boundary` or `disagreement`."""
    biased: bool
    """Whether annotations of these items are a biased sample of the queue's items."""
    sampled_by: str
    """Value of the tag `sampled_by` that an annotation of these items should have."""
    seed: int
    """The seed of the order."""
    selection: str
    """Value of the parameter `selection` that returns these items again; empty without items."""
    unannotated: int
    """Number of items of the queue without an annotation of the criterion."""
    candidates: int
    """Number of these that the strategy chooses from: `boundary` needs a score and a threshold, `disagreement` a pass
    and a fail.
    """
    items: list[NextItem]
    """Items, the first to annotate first; fewer than `limit` when their texts have about a megabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextQuery:
    """A choice of items to annotate."""

    criterion: str
    strategy: Strategy = Strategy.RANDOM
    metric: str | None = None
    """Only scores and verdicts of this metric."""
    seed: int = 0
    limit: int = ITEMS
    selection: str | None = None
    """The selection of an earlier answer of this queue, criterion and seed: its items, even if the list changed."""


# Each query returns one row, as in `counts`: between rows another thread may keep the interpreter for milliseconds.
_OPEN: Final = """
open AS MATERIALIZED (
    SELECT q.item_id, q.item FROM queue_items AS q
    WHERE q.queue = :queue AND q.deleted = 0 AND NOT EXISTS (
        SELECT 1 FROM annotations AS a
        WHERE a.queue = q.queue AND a.item_id = q.item_id AND a.criterion = :criterion AND a.deleted = 0))
"""
_JUDGED: Final = """
judged AS (
    SELECT o.item_id, o.item, e.metric, e.score, e.threshold, e.passed
    FROM open AS o CROSS JOIN evaluations AS e ON e.item_id = o.item_id AND e.current = 1
    WHERE (:metric IS NULL OR e.metric = :metric)
        AND (:limited = 0 OR e.metric IN (SELECT value FROM json_each(:metrics))))
"""
_ITEMS: Final = "SELECT json_group_array(json_array(item_id, item, rank)) FROM chosen"
_CHOSEN: Final = {
    Strategy.RANDOM: f"WITH {_OPEN}, chosen AS (SELECT item_id, item, 0 AS rank FROM open) {_ITEMS}",
    Strategy.BOUNDARY: f"""
WITH {_OPEN}, {_JUDGED},
ranked AS (
    SELECT item_id, item, percent_rank() OVER (PARTITION BY metric ORDER BY abs(score - threshold)) AS rank
    FROM judged WHERE score IS NOT NULL AND threshold IS NOT NULL),
chosen AS (SELECT item_id, item, min(rank) AS rank FROM ranked GROUP BY item_id)
{_ITEMS}
""",
    Strategy.DISAGREEMENT: f"""
WITH {_OPEN}, {_JUDGED},
chosen AS (
    SELECT item_id, item, -1.0 * min(sum(passed), sum(1 - passed)) / count(*) AS rank
    FROM judged GROUP BY item_id HAVING min(passed) < max(passed))
{_ITEMS}
""",
}
_UNANNOTATED: Final = f"WITH {_OPEN} SELECT count(*) FROM open"
_PLACED: Final = """
SELECT json_group_array(json_array(item_id, item)) FROM queue_items WHERE queue = :queue AND deleted = 0
"""
_ITEM: Final = """
SELECT q.item, q.level, coalesce(q.url, max(e.url)), coalesce(q.input, max(e.input)), coalesce(q.output, max(e.output))
FROM queue_items AS q LEFT JOIN evaluations AS e ON e.item_id = q.item_id AND e.current = 1
WHERE q.queue = ? AND q.item_id = ?
GROUP BY q.id
"""


def next_items(connection: sqlite3.Connection, scope: Scope, query: NextQuery, item_url: str = "") -> NextItems:
    """The items to annotate next, in the state that a connection sees; the window of the scope has no effect.

    `item_url` is the template of an item's address, as for `comparisons`. Items that the strategy finds equal are in
    the order of the seed. With a selection they are the ones that it names, in its order, with an annotation or not;
    those that were removed from the queue are left out.
    """
    limited = scope.rules.criterion_metrics
    values = {
        "queue": scope.queue,
        "criterion": query.criterion,
        "metric": query.metric,
        "limited": query.criterion in limited,
        "metrics": orjson.dumps(sorted(limited.get(query.criterion, ()))).decode(),
    }
    rows = orjson.loads(connection.execute(_CHOSEN[query.strategy], values).fetchone()[0])
    key = f"{query.seed}\0{scope.queue}\0{query.criterion}".encode()
    if query.selection is None:
        item_ids = [row[0] for row in nsmallest(query.limit, rows, key=lambda row: (row[2], _place(key, row[1])))]
    else:
        item_ids = _selected(connection, scope.queue, key, query.selection, rows)
    (unannotated,) = connection.execute(_UNANNOTATED, values).fetchone()
    items = budgets.fitting(_texts(connection, scope.queue, item_ids, item_url), budgets.ANSWER_BYTES)
    return NextItems(
        queue=scope.queue,
        criterion=query.criterion,
        metric=query.metric,
        strategy=query.strategy.value,
        biased=query.strategy is not Strategy.RANDOM,
        sampled_by=query.strategy.value,
        seed=query.seed,
        selection=urlsafe_b64encode(b"".join(_place(key, item["item"])[:_PLACE_BYTES] for item in items)).decode(),
        unannotated=unannotated,
        candidates=len(rows),
        items=items,
    )


def _selected(
    connection: sqlite3.Connection, queue: str, key: bytes, selection: str, candidates: list[list[Any]]
) -> list[int]:
    """The ids of the items of a selection. Most are still candidates; else all items of the queue are searched."""
    places = urlsafe_b64decode(selection)
    wanted = [places[start : start + _PLACE_BYTES] for start in range(0, len(places), _PLACE_BYTES)]
    missing, found = set(wanted), dict[bytes, int]()

    def find(rows: list[list[Any]]) -> None:
        for item_id, item, *_ in rows:
            if (place := _place(key, item)[:_PLACE_BYTES]) in missing:
                found[place] = item_id
        missing.difference_update(found)

    find(candidates)
    if missing:
        find(orjson.loads(connection.execute(_PLACED, {"queue": queue}).fetchone()[0]))
    return [found[place] for place in wanted if place in found]


def _place(key: bytes, item: str) -> bytes:
    """The place of an item in a random order, which new items do not change."""
    return blake2b(key + b"\0" + item.encode(), digest_size=8).digest()


def _texts(connection: sqlite3.Connection, queue: str, item_ids: list[int], item_url: str) -> Iterator[NextItem]:
    for item_id in item_ids:
        row: tuple[Any, ...] = connection.execute(_ITEM, (queue, item_id)).fetchone()
        item, level, url, received, answered = row
        address = item_address(url, item_url, item, level)
        yield NextItem(item=item, level=level, url=address, input=received, output=answered)
