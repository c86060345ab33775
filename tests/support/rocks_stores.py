"""Stores of waiting evaluations in a directory of a test."""

import os
from collections.abc import Callable
from pathlib import Path

from streams.kafka.batches import Record
from streams.kafka.record_batches import ParsedRecord
from streams.waiting import positions
from streams.waiting.coverage import OffsetRanges
from streams.waiting.rocks import RocksStore
from streams.waiting.store import Settled, WaitingStore

TOPIC = "evaluations"
SPAN_MS = 1_000
KEEP_MS = 8 * SPAN_MS
ITEMS = 3_000


def new_store(
    directory: Path, *, topic: str = TOPIC, partition_count: int = 4, wal: bool = False, min_free_bytes: int = 0
) -> RocksStore:
    """A store with spans of a second, which is not opened yet."""
    return RocksStore(
        directory,
        topic,
        partition_count,
        keep_ms=KEEP_MS,
        wal=wal,
        min_free_bytes=min_free_bytes,
        seal_after_seconds=0.0,
    )


def opened_store(directory: Path, *, wal: bool = False) -> RocksStore:
    """A store that is open."""
    store = new_store(directory, wal=wal)
    store.open()
    assert store.away is None
    return store


def record(offset: int, item: bytes = b"item", time_ms: int = 100, value: bytes | None = b"{}") -> ParsedRecord:
    """A record of the evaluations topic."""
    return ParsedRecord(offset, time_ms, item, value, [])


def covered_to(offset: int, *, ledger: str = "ledger", adopted_to: int = 0) -> Settled:
    """Everything before an offset is covered."""
    return Settled(ledger, "topic id", OffsetRanges.of([(0, offset)]), adopted_to)


def put_items(store: RocksStore, start: int = 0) -> None:
    """Put a record of 200 bytes for each of `ITEMS` items, from an offset on."""
    for offset in range(start, start + ITEMS):
        store.put(0, record(offset, b"%d" % offset, value=os.urandom(200)))


def look_up(store: WaitingStore, partition: int, item: bytes) -> list[Record]:
    """All parts of what waits of an item."""
    records, rest = store.look_up(partition, item)
    while rest is not None:
        more, rest = store.look_up(partition, item, rest)
        records += more
    return records


def found(store: RocksStore, start: int = 0) -> int:
    """How many of the items are found."""
    return sum(len(look_up(store, 0, b"%d" % offset)) for offset in range(start, start + ITEMS))


def why(store: RocksStore) -> str | None:
    """Why it is away."""
    return store.away


def flip(path: Path, at: Callable[[int], int]) -> None:
    """Flip a bit of a file, at a place that depends on its size."""
    content = bytearray(path.read_bytes())
    content[at(len(content))] ^= 0x01
    path.write_bytes(content)


def damage_positions(directory: Path) -> None:
    """Flip a bit in the file of positions."""
    flip(directory / positions.NAME, lambda size: size // 2)


def damage_rows(directory: Path) -> None:
    """Flip a bit in each file with rows."""
    files = list(directory.glob("*_*/*.sst"))
    assert files
    for path in files:
        flip(path, lambda size: size // 3)
