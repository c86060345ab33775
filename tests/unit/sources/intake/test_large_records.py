"""A record with very many rows costs no more than one with few when another record leaves one of them."""

from pathlib import Path
from typing import Final

import msgspec
import pytest

from aggregator.facts import Annotation, Fact
from sources.intake.changes import pending_batch
from sources.intake.staged import StagedIndex
from sources.intake.store import IndexStore, StoredIndex
from sources.ownership import OwnedRecord, OwnerIndex, RecordVersion, Statement

LEAVING: Final = 20
"""Records that state a row of the large one, and leave it."""
RECEIVED: Final = 1_795_000_000_000


def said(item: int) -> Statement:
    return Statement(Annotation(1, "x", "q", f"i{item}", annotator="ada", stars=3), str(item))


def states(index: OwnerIndex, native: str, at: int, *statements: Statement) -> list[Fact]:
    return RecordVersion("tool", native, RECEIVED, at).state(index, statements) or []


def prepared(index: StoredIndex, rows: int) -> None:
    staged = StagedIndex(index)
    states(staged, "large", 1, *map(said, range(rows)))
    for number in range(LEAVING):
        states(staged, f"leaves {number}", 2, said(number))
    index.commit(pending_batch(staged.changes))


def work_of_leaves(directory: Path, rows: int) -> tuple[int, int]:
    """Steps of SQLite and bytes of the outbox, while each record leaves its row in a batch of its own."""
    store = IndexStore(directory / str(rows))
    index = store.index("tool")
    prepared(index, rows)
    steps = size = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with store.transaction() as connection:
        connection.set_progress_handler(count, 1)
    for number in range(LEAVING):
        staged = StagedIndex(index)
        facts = states(staged, f"leaves {number}", 10)
        assert [(fact.deleted, fact.at) for fact in facts] == [(False, 10)]
        batch = pending_batch(staged.changes, facts)
        size += len(msgspec.msgpack.encode(batch))
        index.prepare(batch)
        index.commit(batch)
    with store.transaction() as connection:
        connection.set_progress_handler(None, 1)
    large = index.get("large") or OwnedRecord()
    assert (large.at, len(large.rows)) == (10, rows)
    assert sorted(row.fact.at for row in large.rows)[-LEAVING - 1 :] == [1, *LEAVING * [10]][-len(large.rows) :]
    store.close()
    return steps, size


def test_a_row_that_is_left_to_a_large_record_costs_no_more_than_one_that_is_left_to_a_small_one(
    tmp_path: Path,
) -> None:
    small, large = (work_of_leaves(tmp_path, rows) for rows in (LEAVING, 100 * LEAVING))
    assert large[0] < 2 * small[0]
    assert large[1] < 2 * small[1]


def test_rows_that_are_left_in_one_batch_do_not_copy_the_large_record_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = IndexStore(tmp_path)
    index = store.index("tool")
    prepared(index, 100 * LEAVING)
    read: list[str] = []
    get = StoredIndex.get

    def note(self: StoredIndex, native: str) -> OwnedRecord | None:
        read.append(native)
        return get(self, native)

    monkeypatch.setattr(StoredIndex, "get", note)
    staged = StagedIndex(index)
    for number in range(LEAVING):
        states(staged, f"leaves {number}", 10)
    assert "large" not in read
    assert len(msgspec.msgpack.encode(pending_batch(staged.changes))) < 500 * LEAVING
    store.close()


def test_a_large_record_that_is_stated_in_the_same_batch_has_the_rows_that_were_left_to_it(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    index = store.index("tool")
    staged = StagedIndex(index)
    states(staged, "leaves", 1, said(0))
    states(staged, "large", 2, said(0), said(1))
    states(staged, "leaves", 10)
    assert sorted(row.fact.at for row in (staged.get("large") or OwnedRecord()).rows) == [2, 10]
    index.commit(pending_batch(staged.changes))
    assert sorted(row.fact.at for row in (index.get("large") or OwnedRecord()).rows) == [2, 10]
    # What it states no more is deleted after the time at which it was left to it.
    staged = StagedIndex(index)
    deleted = states(staged, "large", 5)
    assert sorted(fact.at for fact in deleted) == [11, 11] and all(fact.deleted for fact in deleted)
    store.close()
