"""Snapshot documents that the store kept."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
import zlib
from collections.abc import Iterator
from typing import Final, cast

import orjson

from aggregator.days import DAY_MS, day_of
from aggregator.snapshot.schema import SnapshotDocument
from sinks.queries.scope import Scope

_LAST_OF_DAYS: Final = f"""
SELECT at, document FROM snapshots AS s WHERE s.queue = :queue AND s.at >= :start AND NOT EXISTS (
    SELECT 1 FROM snapshots AS later
    WHERE later.queue = s.queue AND later.at > s.at AND later.at < (s.at / {DAY_MS} + 1) * {DAY_MS})
ORDER BY s.at
"""


def documents_between(
    connection: sqlite3.Connection, queue: str, start: int, end: int, limit: int
) -> list[tuple[int, SnapshotDocument]]:
    """Documents with their time in ms, start <= time < end, newest first."""
    rows = connection.execute(
        "SELECT at, document FROM snapshots WHERE queue = ? AND at >= ? AND at < ? ORDER BY at DESC LIMIT ?",
        (queue, start, end, limit),
    )
    return [(at, _unpacked(document)) for at, document in rows]


def last_documents(connection: sqlite3.Connection, scope: Scope) -> Iterator[tuple[str, SnapshotDocument]]:
    """The last document of each UTC day of the window, oldest first."""
    for at, document in connection.execute(_LAST_OF_DAYS, scope.values()):
        yield day_of(at), _unpacked(document)


def last_digest(connection: sqlite3.Connection, queue: str) -> bytes | None:
    """Digest of a queue's newest document; None before the first."""
    row = connection.execute(
        "SELECT digest FROM snapshots WHERE queue = ? ORDER BY at DESC LIMIT 1", (queue,)
    ).fetchone()
    return None if row is None else bytes(row[0])


def _unpacked(document: bytes) -> SnapshotDocument:
    return cast("SnapshotDocument", orjson.loads(zlib.decompress(document)))
