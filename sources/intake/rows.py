"""The tables of the rows that records state, and of the records that have a row of an identity.

A row has an entry of its own, so that one of a record with very many rows is read or restated without the others.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple

from sources.intake.natives import native_bytes, native_text
from sources.ownership import OwnedRow, changed_rows, key_of

TABLES: Final = "".join(
    (files("sources.intake") / name).read_text(encoding="utf-8") for name in ("rows.sql", "holders.sql")
)
"""The statements that create the tables."""

IndexQuery = Callable[..., list[tuple[Any, ...]]]
"""Returns the rows of a query with its values."""


class RankedRecord(NamedTuple):
    """That a record has a row of an identity."""

    rank: str
    """That of the row."""
    native: str

    def key(self, identity: bytes) -> bytes:
        """The key of the row, which has this identity."""
        return key_of(identity, self.rank)


def ranked(
    read: IndexQuery, source: str, identity: bytes, after: RankedRecord | None, limit: int
) -> list[RankedRecord]:
    """The first records of a source that have a row of an identity, the greatest rank first.

    Args:
        read: from the index.
        source: the prefix of its events' ids.
        identity: of the rows.
        after: those up to this one are left out.
        limit: how many at most.
    """
    # In SQLite every BLOB is after every TEXT.
    last = (b"", b"") if after is None else (after.rank, native_bytes(after.native))
    rows = read(
        "SELECT rank, native FROM holders WHERE source = ? AND identity = ? AND (rank, native) < (?, ?) "
        "ORDER BY rank DESC, native DESC LIMIT ?",
        source,
        identity,
        *last,
        limit,
    )
    return [RankedRecord(rank, native_text(native)) for rank, native in rows]


def find(read: IndexQuery, source: str, name: bytes, key: bytes) -> OwnedRow | None:
    """The row of a record with this key, if it has one."""
    rows = read("SELECT value, part FROM rows WHERE source = ? AND native = ? AND key = ?", source, name, key)
    return next((OwnedRow(key, value, part) for value, part in rows), None)


def replace(
    connection: sqlite3.Connection, source: str, name: bytes, before: Sequence[OwnedRow], after: Sequence[OwnedRow]
) -> None:
    """Note what a record states now in place of what it stated before."""
    gone, added = changed_rows(before, after)
    _remove(connection, source, name, gone)
    insert(connection, source, name, added)


def restate(connection: sqlite3.Connection, source: str, name: bytes, rows: Iterable[OwnedRow]) -> None:
    """Note rows of a record at later times, each in place of the one of its key."""

    def read(sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return connection.execute(sql, values).fetchall()

    for row in rows:
        former = find(read, source, name, row.key)
        replace(connection, source, name, () if former is None else (former,), (row,))


def insert(connection: sqlite3.Connection, source: str, name: bytes, rows: Iterable[OwnedRow]) -> None:
    """Note rows of a record that it did not have."""
    added = [*rows]
    connection.executemany(
        "INSERT INTO rows VALUES (?, ?, ?, ?, ?)", [(source, name, row.key, row.value, row.part) for row in added]
    )
    connection.executemany("INSERT INTO holders VALUES (?, ?, ?, ?)", _held(source, name, added))


def _remove(connection: sqlite3.Connection, source: str, name: bytes, rows: Iterable[OwnedRow]) -> None:
    gone = [*rows]
    connection.executemany(
        "DELETE FROM rows WHERE source = ? AND native = ? AND key = ?", [(source, name, row.key) for row in gone]
    )
    connection.executemany(
        "DELETE FROM holders WHERE source = ? AND identity = ? AND rank = ? AND native = ?", _held(source, name, gone)
    )


def _held(source: str, name: bytes, rows: Iterable[OwnedRow]) -> list[tuple[str, bytes, str, bytes]]:
    return [(source, row.identity, row.rank, name) for row in rows]
