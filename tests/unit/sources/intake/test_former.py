"""Indexes of former releases are read on, with all that they remember."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from aggregator.facts import Annotation, Fact
from sources.intake.changes import PENDING, PendingBatch, pending_batch
from sources.intake.staged import StagedIndex
from sources.intake.store import FILE, IndexStore, IndexUnusableError
from sources.ownership import OwnedRecord, OwnerIndex, RecordVersion, Statement
from sources.records import bounded_id

IDENTITY = b'["a","q","i","overall","ada"]'
LONG = 5_000 * "l"
HOLDERS = {
    1: """CREATE TABLE holders (source TEXT NOT NULL, identity BLOB NOT NULL, native BLOB NOT NULL,
          PRIMARY KEY (source, identity, native)) WITHOUT ROWID""",
    2: """CREATE TABLE holders (source TEXT NOT NULL, identity BLOB NOT NULL, rank TEXT NOT NULL, native BLOB NOT NULL,
          PRIMARY KEY (source, identity, rank, native)) WITHOUT ROWID""",
}


def states(index: OwnerIndex, native: str, at: int) -> list[Fact]:
    statement = Statement(Annotation(1, "x", "q", "i", annotator="ada", thumbs="up"))
    return RecordVersion("tool", native, 1_795_000_000_000, at).state(index, [statement]) or []


def make_former(store: IndexStore, version: int) -> None:
    """Bring an index into the form of a former release, which kept all rows of a record in one value."""
    with store.transaction() as connection:
        rows: list[Any] = connection.execute("SELECT source, native FROM records").fetchall()
        for source, native in rows:
            owned = store.index(source).get(native.decode())
            values = (msgspec.msgpack.encode(owned), source, native)
            connection.execute("UPDATE records SET owned = ? WHERE source = ? AND native = ?", values)
        connection.execute("DROP TABLE rows")
        connection.execute("DROP TABLE holders")
        connection.execute(HOLDERS[version])
        connection.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", [1, 2])
def test_an_index_of_a_former_release_gets_its_rows_with_their_ranks(tmp_path: Path, version: int) -> None:
    store = IndexStore(tmp_path)
    staged = StagedIndex(store.index("tool"))
    for number in range(5):
        states(staged, str(number), at=number + 1)
    store.index("tool").commit(pending_batch(staged.changes))
    before = {native: store.index("tool").get(native) for native in "01234"}
    make_former(store, version)
    store.close()
    # `source` reads it while the `ingest` of the former release has it open.
    IndexStore(tmp_path, readonly=True).close()
    for _ in range(2):
        store = IndexStore(tmp_path)
        index = store.index("tool")
        best = StagedIndex(index).best_other(IDENTITY, "4")
        assert best is not None
        assert (best.native, best.row.fact.at) == ("3", 4)
        assert len(index.holders(IDENTITY)) == 5
        assert {native: index.get(native) for native in "01234"} == before
        store.close()


@pytest.mark.parametrize("damage", ["UPDATE records SET owned = x'c1'", "UPDATE outbox SET batch = x'00'"])
def test_a_damaged_index_of_a_former_release_is_named_and_stays_as_it_is(tmp_path: Path, damage: str) -> None:
    store = IndexStore(tmp_path)
    index, staged = store.index("tool"), StagedIndex(store.index("tool"))
    batch = pending_batch(staged.changes, states(staged, "1", at=1))
    index.commit(batch)
    index.prepare(batch)
    make_former(store, 2)
    with store.transaction() as connection:
        connection.execute(damage)
    store.close()
    before = (tmp_path / FILE).read_bytes()
    for _ in range(2):
        with pytest.raises(IndexUnusableError, match="a value in it is damaged"):
            IndexStore(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_long_ids_of_a_former_release_are_found_by_their_digests(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    index = store.index("tool")
    staged = StagedIndex(index)
    sent = states(staged, LONG, 5)
    index.commit(pending_batch(staged.changes, seen=[LONG], stream="scores", listed=1))
    with store.transaction() as connection:
        connection.execute("INSERT INTO seen VALUES ('tool', 'scores', ?)", (LONG.encode(),))
    former = msgspec.msgpack.encode(pending_batch(staged.changes, sent, seen=[LONG]))
    # The last field of a batch is new.
    batch = msgspec.msgpack.encode(msgspec.msgpack.decode(former)[:-1])
    with store.transaction() as connection:
        connection.execute("INSERT INTO outbox VALUES ('tool', ?)", (batch,))
    make_former(store, 2)
    store.close()
    store = IndexStore(tmp_path)
    index, short = store.index("tool"), bounded_id(LONG)
    assert len(short) < 100
    assert list(index.natives()) == [short]
    assert (index.get(short) or OwnedRecord()).version == 5
    assert list(index.unseen("scores", None)) == []
    pending = index.pending()
    assert pending is not None and pending.natives() == {short} and pending.seen == [short.encode()]
    index.commit(pending)
    assert [fact.deleted for fact in RecordVersion("tool", short, 9).vanish(StagedIndex(index))] == [True]
    store.close()


def test_a_batch_of_a_former_release_is_read() -> None:
    batch = PendingBatch([(b"k", b"v")], [], [], [b"seen"], "", None, {"events": 1}, [], 7)
    former = msgspec.msgpack.decode(msgspec.msgpack.encode(batch))[:-1]
    assert PENDING.decode(msgspec.msgpack.encode(former)) == batch
