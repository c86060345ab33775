"""The owner index in a file: it equals the one in memory, survives, and has one user."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.intake.staged import StagedIndex
from sources.intake.store import FILE, IndexInUseError, IndexStore, IndexUnusableError, StoredIndex, pending_batch
from sources.ownership import MemoryIndex, OwnedRecord, OwnedRow

NATIVES = st.sampled_from(["a", "b", "a/b", "\ud83d"])
KEYS = st.sampled_from([b'["a","q","i","c","p"]', b'["e","i","m",""]', b'["x","i","m",""]'])
OWNED = st.builds(
    OwnedRecord,
    version=st.none() | st.integers(0, 2**64 - 1),
    at=st.none() | st.integers(0, 2**45),
    rows=st.lists(st.builds(OwnedRow, KEYS, st.binary(max_size=4), st.sampled_from(["", "p"])), max_size=3).map(tuple),
)
STEPS = st.lists(
    st.tuples(st.just("put"), NATIVES, OWNED)
    | st.tuples(st.just("delete"), KEYS, st.integers(0, 9))
    | st.tuples(st.just("commit"), st.none(), st.none()),
    max_size=12,
)


def test_what_is_committed_is_there_after_the_file_was_closed(tmp_path: Path) -> None:
    owned = OwnedRecord(2**64 - 1, 5, (OwnedRow(b'["e","i","m",""]', b"{}"),))
    store = IndexStore(tmp_path / "new")
    staged = StagedIndex(store.index("tool"))
    staged.put("n", owned)
    staged.delete(b"gone", 7)
    store.index("tool").commit(
        pending_batch(staged.changes, seen=["n"], stream="scores", listed=3, totals={"events": 1})
    )
    store.index("tool").commit(pending_batch(staged.changes, totals={"events": 2}))
    store.index("tool").keep("cursor", {"at": 1})
    store.close()
    store = IndexStore(tmp_path / "new")
    index, other = store.index("tool"), store.index("other")
    assert index.get("n") == owned
    assert index.deleted_at(b"gone") == 7
    assert index.totals() == {"events": 3}
    assert index.state("cursor") == {"at": 1}
    assert list(index.unseen("scores", 3)) == list(index.unseen("scores", None)) == ["n"]
    assert list(index.unseen("scores", 4)) == list(index.unseen("items", None)) == []
    assert other.get("n") is None and other.state("cursor") is None and other.deleted_at(b"gone") == -1
    store.close()


def test_a_second_process_is_told_that_the_index_is_in_use(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    with pytest.raises(IndexInUseError, match="--sources none"):
        IndexStore(tmp_path)
    store.close()
    IndexStore(tmp_path).close()


@pytest.mark.parametrize("content", [b"no database, but some text that is long enough to be read as its header" * 20])
def test_a_file_that_is_no_index_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    for _ in range(2):
        with pytest.raises(IndexUnusableError, match="made again from the ledger"):
            IndexStore(tmp_path)
    assert (tmp_path / FILE).read_bytes() == content


def test_an_index_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    with store.transaction() as connection:
        connection.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(IndexUnusableError, match="newer release"):
        IndexStore(tmp_path)


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    assert store.path.stat().st_mode & 0o077 == 0
    store.close()


@given(STEPS)
def test_staged_and_committed_together_equal_an_index_in_memory(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    store = IndexStore(tmp_path_factory.mktemp("index"))
    memory, stored = MemoryIndex(), store.index("tool")
    staged = StagedIndex(stored)
    for step, subject, value in steps:
        if step == "put":
            memory.put(subject, value)
            staged.put(subject, value)
        elif step == "delete":
            memory.delete(subject, value)
            staged.delete(subject, value)
        else:
            stored.commit(pending_batch(staged.changes))
            staged = StagedIndex(stored)
        _assert_equal(memory, staged)
    stored.commit(pending_batch(staged.changes))
    _assert_equal(memory, stored)
    store.close()


def _assert_equal(memory: MemoryIndex, index: StagedIndex | StoredIndex) -> None:
    assert {*memory.natives()} == {*index.natives()}
    for native in memory.natives():
        assert memory.get(native) == index.get(native)
    for key in (b'["a","q","i","c","p"]', b'["e","i","m",""]'):
        assert {*memory.holders(key)} == {*index.holders(key)}
        assert memory.deleted_at(key) == index.deleted_at(key)


@contextmanager
def _no_space(largest: int) -> Iterator[None]:
    """No file of this process can grow beyond these bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_reported_and_a_disk_with_space_is_used_again(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    index = store.index("tool")
    # The log of changes is written when a transaction is committed.
    with _no_space(4096), pytest.raises(IndexUnusableError, match="free space"):
        index.keep("cursor", "x" * 20_000)
    assert index.state("cursor") is None
    index.keep("cursor", "x")
    assert index.state("cursor") == "x"
    store.close()


def test_a_limit_within_a_transaction_changes_nothing(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    index = store.index("tool")
    for limit in (1, 2**30):
        for _ in store.read(f"PRAGMA max_page_count = {limit}"):
            pass
        if limit == 1:
            with pytest.raises(IndexUnusableError, match="full"):
                index.keep("cursor", "x" * 20_000)
    index.keep("cursor", "x" * 20_000)
    assert len(index.state("cursor")) == 20_000
    store.close()
