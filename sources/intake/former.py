"""Indexes of former releases, which had all rows of a record in one value, and ids of records of any length."""

import sqlite3
from collections.abc import Callable
from typing import Final

import msgspec

from sources.intake import rows
from sources.intake.natives import bounded_name
from sources.ownership import OwnedRecord, OwnedRow
from sources.records import LONGEST_ID

_PAGE: Final = 1_000
_OWNED: Final = msgspec.msgpack.Decoder(OwnedRecord)

_RecordKey = tuple[str, bytes]
"""Source and id of a record."""


def upgrade(connection: sqlite3.Connection, schema: str, upgrade_batch: Callable[[bytes], bytes]) -> None:
    """Bring the tables of a former release into the form of this one.

    Args:
        connection: in a transaction.
        schema: the statements that create the tables of this release.
        upgrade_batch: returns the batch of an outbox with ids that are not too long.
    """
    connection.execute("DROP TABLE holders")
    for statement in schema.split(";"):
        connection.execute(statement)
    place: _RecordKey | None = ("", b"")
    while place is not None:
        place = _divide(connection, place)
    long = "SELECT source, stream, native FROM seen WHERE length(native) > ?"
    for source, stream, name in connection.execute(long, (LONGEST_ID,)).fetchall():
        connection.execute(
            "UPDATE OR REPLACE seen SET native = ? WHERE source = ? AND stream = ? AND native = ?",
            (bounded_name(name), source, stream, name),
        )
    for source, batch in connection.execute("SELECT source, batch FROM outbox").fetchall():
        connection.execute("UPDATE outbox SET batch = ? WHERE source = ?", (upgrade_batch(batch), source))


def _divide(connection: sqlite3.Connection, after: _RecordKey) -> _RecordKey | None:
    """Divide the next records; returns the last of them."""
    records = connection.execute(
        "SELECT source, native, owned FROM records WHERE (source, native) > (?, ?) ORDER BY source, native LIMIT ?",
        (*after, _PAGE),
    ).fetchall()
    for source, name, value in records:
        owned = _OWNED.decode(value)
        kept = bounded_name(name)
        connection.execute(
            "UPDATE OR REPLACE records SET native = ?, owned = ? WHERE source = ? AND native = ?",
            (kept, header(owned), source, name),
        )
        rows.insert(connection, source, kept, distinct(owned.rows))
    return records[-1][:2] if records else None


def header(owned: OwnedRecord) -> bytes:
    """A record without its rows, as the index has it."""
    return msgspec.msgpack.encode(msgspec.structs.replace(owned, rows=()))


def distinct(owned: tuple[OwnedRow, ...]) -> tuple[OwnedRow, ...]:
    """The rows of different keys, of each key the one of the greatest rank."""
    return tuple({row.key: row for row in sorted(owned, key=lambda row: row.rank)}.values())
