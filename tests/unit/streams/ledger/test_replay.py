"""The replay of a ledger reports the rows that no worker wrote, by the producer of their record batch."""

from types import SimpleNamespace
from typing import Any

from aggregator.facts import Annotation, encode, key
from aggregator.policy import Policy
from aggregator.shard import Shard
from aggregator.tallies import CheckpointMarker
from streams.engine.partition import OwnedPartition
from streams.ledger.claim import CLAIM_KEY, SCHEMA, Claim

UNUSED: Any = None
CLAIM = (CLAIM_KEY, Claim("l", 1, Policy.EACH, SCHEMA, "w", 1).encode())
WORKER, SUCCESSOR, STRANGER = 7, 8, 99


def row(number: int) -> tuple[bytes, bytes]:
    fact = Annotation(1, "a", "q", f"i{number}", thumbs="up")
    return key(fact), encode(fact)


def replayed(*records: tuple[int, tuple[bytes, bytes]]) -> OwnedPartition:
    """From (producer, record), each record in a batch of its own."""
    owned = OwnedPartition(0, Shard(0), UNUSED, UNUSED)
    stored: Any = [
        SimpleNamespace(offset=offset, key=row_key, value=value) for offset, (_, (row_key, value)) in enumerate(records)
    ]
    producers = [(offset, producer) for offset, (producer, _) in enumerate(records)]
    # As in fetches that end anywhere.
    for start in range(0, len(stored), 2):
        owned.replay.read(stored[start : start + 2], producers)
    return owned


def marker(position: int, foreign: int = 0) -> CheckpointMarker:
    return CheckpointMarker(ledger="l", position=position, policy="each", at=1, sources={}, foreign=foreign)


def test_rows_of_workers_are_not_foreign_and_those_of_others_are_counted() -> None:
    owned = replayed((WORKER, CLAIM), (WORKER, row(1)), (STRANGER, row(2)), (STRANGER, (b"x", b"")), (SUCCESSOR, CLAIM))
    assert owned.compared(marker(2)) == [2]
    assert owned.foreign == 1
    assert owned.shard.rows == 2


def test_a_late_row_of_a_predecessor_is_not_foreign() -> None:
    owned = replayed((WORKER, CLAIM), (SUCCESSOR, CLAIM), (WORKER, row(1)), (SUCCESSOR, row(2)))
    assert owned.compared(None) == []


def test_rows_before_the_first_claim_that_compaction_left_are_not_foreign() -> None:
    owned = replayed((WORKER, row(1)), (SUCCESSOR, CLAIM), (SUCCESSOR, row(2)))
    assert owned.compared(None) == []


def test_rows_below_the_last_marker_are_counted_in_it() -> None:
    owned = replayed((WORKER, CLAIM), (STRANGER, row(1)), (SUCCESSOR, CLAIM), (SUCCESSOR, row(2)), (STRANGER, row(3)))
    assert owned.compared(marker(4, foreign=1)) == [4]
    assert owned.foreign == 2
    assert owned.compared(marker(5, foreign=2)) == []
    assert owned.foreign == 2


def test_nobody_is_foreign_where_producers_have_no_id() -> None:
    """The embedded broker has no idempotent producer."""
    assert replayed((-1, CLAIM), (-1, row(1))).compared(None) == []
