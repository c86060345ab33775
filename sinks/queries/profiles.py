"""Item profiles: how many items of a queue are alike in all that distinct items are counted by."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import orjson

# One row, a JSON array of all: sqlite3 releases the GIL between rows, and another thread may then keep it for
# milliseconds.
_PROFILES: Final = """
SELECT '[' || coalesce(group_concat('[' || id || ',' || items || ',' || profile || ']'), '') || ']'
FROM item_profiles WHERE queue = ?
"""
CONTRIBUTING: Final = """
SELECT '[' || coalesce(group_concat('[' || profile_id || ',' || items || ',' || days || ']'), '') || ']' FROM (
    SELECT p.profile_id, d.days, count(*) AS items
    FROM item_days AS d CROSS JOIN profile_items AS p ON p.item_id = d.item_id AND p.queue = d.queue
    WHERE d.queue = ? AND d.criterion = ? GROUP BY p.profile_id, d.days)
"""
"""SQL: items with counted annotations of a criterion: profile, number of items, and [day, annotations] of each day."""


class ItemProfile(NamedTuple):
    """Items of a queue that are alike; see `sinks.store.schema.PROFILE`."""

    id: int
    items: int
    """Number of such items."""
    placed: bool
    """Whether queue-item rows place them in the queue."""
    days: Sequence[Any]
    """Rated criteria, each with the newest day (since epoch) of a counted annotation."""
    versions: Sequence[Any]
    """Metric and judge version of each standing verdict."""
    failures: Sequence[Any]
    """Metric and status of each failure that is shown."""


def item_profiles(connection: sqlite3.Connection, queue: str) -> Iterator[ItemProfile]:
    """The profiles of a queue's items."""
    for id, items, profile in json_rows(connection, _PROFILES, queue):
        yield ItemProfile(id, items, *profile)


def json_rows(connection: sqlite3.Connection, statement: str, *values: str) -> Iterator[Any]:
    """The rows of a statement that returns them as one JSON array."""
    (rows,) = connection.execute(statement, values).fetchone()
    yield from orjson.loads(rows)
