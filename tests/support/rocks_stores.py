"""Stores of waiting evaluations in a directory of a test."""

from pathlib import Path

from streams.kafka.record_batches import ParsedRecord
from streams.waiting.coverage import OffsetRanges
from streams.waiting.rocks import RocksStore
from streams.waiting.store import Settled

TOPIC = "evaluations"
SPAN_MS = 1_000
KEEP_MS = 8 * SPAN_MS


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
