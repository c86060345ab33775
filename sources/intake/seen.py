"""The records that a reading of a tool has seen, while it takes several pulls: `StoredIndex.unseen` leaves them out."""

from collections.abc import Collection
from typing import Final

from sources.intake.natives import native_bytes
from sources.intake.store import StoredIndex

_BATCH: Final = 10_000
"""Records of a transaction. Webhooks are taken between two of them."""


def note_seen(index: StoredIndex, stream: str, natives: Collection[str]) -> None:
    """Note records of a stream as seen."""
    rows = [(index.source, stream, native_bytes(native)) for native in natives]
    for start in range(0, len(rows), _BATCH):
        with index.store.transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows[start : start + _BATCH])


def forget_seen(index: StoredIndex, stream: str) -> None:
    """Forget which records of a stream were seen."""
    with index.store.transaction() as connection:
        connection.execute("DELETE FROM seen WHERE source = ? AND stream = ?", (index.source, stream))
