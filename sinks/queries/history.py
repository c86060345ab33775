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

_DAYS: Final = f"SELECT count(DISTINCT at / {DAY_MS}) FROM snapshots WHERE queue = :queue AND at >= :start"
_LAST_OF_DAYS: Final = f"""
SELECT at, document FROM snapshots AS s WHERE s.queue = :queue AND s.at >= :start AND NOT EXISTS (
    SELECT 1 FROM snapshots AS later
    WHERE later.queue = s.queue AND later.at > s.at AND later.at < (s.at / {DAY_MS} + 1) * {DAY_MS})
ORDER BY s.at DESC LIMIT :most OFFSET :skip
"""


def documents_between(
    connection: sqlite3.Connection, queue: str, span: tuple[int, int], limit: int, most_bytes: int | None = None
) -> tuple[list[tuple[int, SnapshotDocument]], bool]:
    """Documents with their time in ms, newest first, and whether there are more. `span`: start, and end (exclusive).

    At most `limit`, and none after those that have `most_bytes` as JSON.
    """
    rows = connection.execute(
        "SELECT at, document FROM snapshots WHERE queue = ? AND at >= ? AND at < ? ORDER BY at DESC LIMIT ?",
        (queue, *span, limit + 1),
    )
    documents: list[tuple[int, SnapshotDocument]] = []
    size = 0
    for at, packed in rows:
        if len(documents) == limit or (most_bytes is not None and size >= most_bytes):
            return documents, True
        document = zlib.decompress(packed)
        size += len(document)
        documents.append((at, orjson.loads(document)))
    return documents, False


def published_days(connection: sqlite3.Connection, scope: Scope) -> int:
    """Number of UTC days of the window with a document."""
    (days,) = connection.execute(_DAYS, scope.values()).fetchone()
    return int(days)


def last_documents(
    connection: sqlite3.Connection, scope: Scope, *, skip: int, most: int, most_bytes: int
) -> Iterator[tuple[str, SnapshotDocument]]:
    """The last document of each UTC day of the window but `skip`, newest first.

    At most `most`, and none after those that have `most_bytes` as JSON.
    """
    left = most_bytes
    for at, packed in connection.execute(_LAST_OF_DAYS, {**scope.values(), "most": most, "skip": skip}):
        if left <= 0:
            return
        document = zlib.decompress(packed)
        left -= len(document)
        yield day_of(at), cast("SnapshotDocument", orjson.loads(document))


def last_digest(connection: sqlite3.Connection, queue: str) -> bytes | None:
    """Digest of a queue's newest document; None before the first."""
    row = connection.execute(
        "SELECT digest FROM snapshots WHERE queue = ? ORDER BY at DESC LIMIT 1", (queue,)
    ).fetchone()
    return None if row is None else bytes(row[0])
