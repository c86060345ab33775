"""The table of the records that have a row of an identity, which is derived from what the records state."""

import sqlite3
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any, Final, NamedTuple

from sources.intake.natives import native_bytes, native_text
from sources.ownership import OwnedRecord, OwnedRow, changed_rows

TABLE: Final = (files("sources.intake") / "holders.sql").read_text(encoding="utf-8")
"""The statement that creates the table."""

IndexQuery = Callable[..., list[tuple[Any, ...]]]
"""Returns the rows of a query with its values."""


class RankedRecord(NamedTuple):
    """That a record has a row of an identity."""

    rank: str
    """That of the row."""
    native: str


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


def replace(
    connection: sqlite3.Connection, source: str, name: bytes, before: OwnedRecord | None, after: OwnedRecord
) -> None:
    """Note what a record states now in place of what it stated before."""
    gone, added = changed_rows(() if before is None else before.rows, after.rows)
    connection.executemany(
        "DELETE FROM holders WHERE source = ? AND identity = ? AND rank = ? AND native = ?", _rows(source, name, gone)
    )
    _insert(connection, source, name, added)


def make_again(connection: sqlite3.Connection, decode: Callable[[bytes], OwnedRecord]) -> None:
    """Replace the table of a former release, which has no ranks.

    Args:
        connection: in a transaction.
        decode: reads what a record states.
    """
    connection.execute("DROP TABLE holders")
    connection.execute(TABLE)
    for source, name, owned in connection.execute("SELECT source, native, owned FROM records"):
        _insert(connection, source, name, decode(owned).rows)


def _insert(connection: sqlite3.Connection, source: str, name: bytes, rows: Iterable[OwnedRow]) -> None:
    connection.executemany("INSERT OR IGNORE INTO holders VALUES (?, ?, ?, ?)", _rows(source, name, rows))


def _rows(source: str, name: bytes, rows: Iterable[OwnedRow]) -> list[tuple[str, bytes, str, bytes]]:
    return [(source, row.identity, row.rank, name) for row in rows]
