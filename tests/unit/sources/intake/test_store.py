"""The owner index in a file: it equals the one in memory, survives, and has one user."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aggregator import facts
from aggregator.facts import Annotation, Evaluation, Fact
from sources.intake.changes import IndexChanges, pending_batch
from sources.intake.rows import ranked
from sources.intake.staged import StagedIndex
from sources.intake.store import FILE, IndexInUseError, IndexStore, IndexUnusableError, StoredIndex
from sources.ownership import HeldRow, MemoryIndex, OwnedRecord, OwnedRow, OwnerIndex, RecordVersion, Statement
from sources.pulls.state import load

NATIVES = st.sampled_from(["a", "b", "a/b", "c", "d", "e", "\ud83d"])
IDENTITIES = (b'["a","q","i","c","p"]', b'["e","i","m",""]')
KEYS = st.sampled_from(IDENTITIES)
ROW = OwnedRow(IDENTITIES[1], facts.encode(Evaluation(1, "tool:n@1", "i", "m", passed=True)))
RECORD = OwnedRecord(1, 1, (ROW,))
VERSIONS = {
    "at": st.integers(1, 5),
    "id": st.sampled_from(["t:a@9", "t:b@10", "t:\u00e9@1", "t:\U0001f600@1", "t:\uffee@1"]),
}
FACTS: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        Annotation,
        queue=st.just("q"),
        item=st.just("i"),
        criterion=st.just("c"),
        annotator=st.just("p"),
        thumbs=st.just("up"),
        **VERSIONS,
    ),
    st.builds(Evaluation, item=st.just("i"), metric=st.just("m"), passed=st.booleans(), **VERSIONS),
    st.builds(Evaluation, item=st.just("i"), metric=st.just("m"), status=st.just("error"), **VERSIONS),
)
OWNED = st.builds(
    OwnedRecord,
    version=st.none() | st.integers(0, 2**64 - 1),
    at=st.none() | st.integers(0, 2**45),
    rows=st.lists(
        st.builds(lambda fact, part: OwnedRow(facts.key(fact), facts.encode(fact), part), FACTS, st.sampled_from("p")),
        max_size=3,
        unique_by=lambda row: row.key,
    ).map(tuple),
)
STEPS = st.lists(
    st.tuples(st.just("put"), NATIVES, OWNED)
    | st.tuples(st.just("delete"), KEYS, st.integers(0, 9))
    | st.tuples(st.just("restate"), NATIVES, st.integers(0, 9))
    | st.tuples(st.just("commit"), st.none(), st.none()),
    max_size=20,
)


def test_what_is_committed_is_there_after_the_file_was_closed(tmp_path: Path) -> None:
    owned = OwnedRecord(
        2**64 - 1, 5, (OwnedRow(b'["e","i","m",""]', facts.encode(Evaluation(1, "x", "i", "m", passed=True))),)
    )
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


_IDENTITY = b'["a","q","i","overall","ada"]'


def _states(index: OwnerIndex, native: str, at: int, item: str = "i") -> list[Fact] | None:
    """A record states a rating of an item."""
    statement = Statement(Annotation(1, "x", "q", item, annotator="ada", thumbs="up"))
    return RecordVersion("tool", native, 1_795_000_000_000, at).state(index, [statement])


def _steps_of_moves(directory: Path, records: int) -> int:
    """The steps of SQLite and the parsed facts that it takes to move records that state one row to other rows."""
    store = IndexStore(directory)
    index = store.index("tool")
    work = 0

    def count(*_: object) -> int:
        nonlocal work
        work += 1
        return 0

    def moves(at: int, item: str) -> None:
        for start in range(0, records, 50):
            staged = StagedIndex(index)
            for number in range(start, start + 50):
                _states(staged, str(records - number), at + records - number, item)
            index.commit(pending_batch(staged.changes))

    moves(1, "i")
    with store.transaction() as connection, pytest.MonkeyPatch.context() as patched:
        connection.set_progress_handler(count, 1)
        parse = facts.parse
        patched.setattr(facts, "parse", lambda key, value: (count(), parse(key, value))[1])
        moves(1 + records, "j")
    store.close()
    return work


def test_records_that_leave_one_row_cost_no_more_each_the_more_they_are(tmp_path: Path) -> None:
    few, many = (_steps_of_moves(tmp_path / str(records), records) for records in (100, 800))
    assert many < 10 * few


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
        elif step == "restate":
            for former in (memory.get(subject) or OwnedRecord()).rows[:1]:
                later = replace(former.fact, at=former.fact.at + value, id=f"t:{value}")
                row = OwnedRow(former.key, facts.encode(later), former.part)
                memory.restate(subject, former, row)
                staged.restate(subject, former, row)
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
        assert _in_order(memory.get(native)) == _in_order(index.get(native))
    for key in IDENTITIES:
        assert memory.deleted_at(key) == index.deleted_at(key)
        for native in (*memory.natives(), "of no record"):
            best = _best_other(memory, key, native)
            assert memory.best_other(key, native) == best
            if isinstance(index, StagedIndex):
                assert index.best_other(key, native) == best
            else:
                rows = [row for row in ranked(index.store.read, "tool", key, None, 99) if row.native != native]
                assert rows[:1] == ([] if best is None else [best[:2]])


def _in_order(owned: OwnedRecord | None) -> OwnedRecord | None:
    """The rows of a record have no order."""
    return owned and replace(owned, rows=tuple(sorted(owned.rows, key=lambda row: row.key)))


def _best_other(memory: MemoryIndex, identity: bytes, native: str) -> HeldRow | None:
    """The row that stands, found among all rows of all records."""
    rows = [
        (row.key == identity, row.fact.at, row.fact.id, other, row)
        for other in memory.natives()
        for row in (memory.get(other) or OwnedRecord()).rows
        if row.identity == identity and other != native
    ]
    if not rows:
        return None
    verdict, at, id, other, row = max(rows, key=lambda each: each[:4])
    return HeldRow(f"{verdict:d}{at:015d}{id}", other, row)


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


@pytest.mark.parametrize(
    ("damage", "read"),
    [
        ("UPDATE records SET owned = x'c1'", lambda index: index.get("n")),
        ("UPDATE rows SET value = x'7b'", lambda index: index.get("n")),
        ("UPDATE rows SET value = x'7b'", lambda index: index.row("n", IDENTITIES[1])),
        ("UPDATE rows SET key = 'text'", lambda index: index.get("n")),
        ("UPDATE records SET native = x'ff'", StoredIndex.natives),
        ("UPDATE records SET native = 'text'", StoredIndex.natives),
        ("UPDATE records SET native = x'ff'", lambda index: index.unseen("scores", None)),
        ("UPDATE holders SET native = x'ff'", lambda index: index.holders(IDENTITIES[1])),
        ("UPDATE states SET value = '{'", lambda index: index.state("pulls")),
        ("UPDATE states SET value = '[1]'", StoredIndex.positions),
        ("UPDATE states SET value = '[1]'", load),
        ("UPDATE outbox SET batch = x'00'", StoredIndex.pending),
        ("DELETE FROM records", lambda index: index.commit(pending_batch(IndexChanges({"n": RECORD})))),
    ],
)
def test_a_value_that_no_release_writes_makes_the_index_unusable(
    damage: str, read: Callable[[StoredIndex], object], tmp_path: Path
) -> None:
    store = IndexStore(tmp_path)
    index = store.index("tool")
    batch = pending_batch(IndexChanges({"n": RECORD}), [ROW.fact], seen=["n"], stream="scores", listed=3)
    index.commit(batch)
    index.prepare(batch)
    for name in ("pulls", "positions"):
        index.keep(name, [])
    with store.transaction() as connection:
        connection.execute(damage)
    with pytest.raises(IndexUnusableError, match=r"cannot use .*sources\.sqlite: .*; check its disk"):
        read(index)
    store.close()


def test_the_batch_of_an_outbox_has_facts(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    index = store.index("tool")
    index.prepare(msgspec.structs.replace(pending_batch(IndexChanges(), [ROW.fact]), events=[(ROW.key, b"{}")]))
    with pytest.raises(IndexUnusableError, match="a value in it is damaged"):
        index.pending()
    store.close()


def test_a_file_whose_damage_no_message_can_quote_is_named(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    with store._using:
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE ", b"CREATE \xeeABLE ", 1))
    for _ in range(2):
        with pytest.raises(IndexUnusableError, match="cannot open"):
            IndexStore(tmp_path)


def test_no_error_about_damage_has_a_value(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    index = store.index("tool")
    index.commit(pending_batch(IndexChanges({"n": RECORD})))
    index.keep("pulls", {})
    with store.transaction() as connection:
        connection.execute('UPDATE rows SET key = CAST(\'["a","Ada"]\' AS BLOB)')
        connection.execute("UPDATE states SET value = CAST(x'416461ff' AS TEXT)")
    for read in (lambda: index.get("n"), lambda: index.state("pulls")):
        with pytest.raises(IndexUnusableError) as raised:
            read()
        assert "Ada" not in str(raised.value)
    store.close()


def test_a_batch_reads_each_record_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook may delete hundreds of thousands of records, of which nobody knows any."""
    store, asked, get = IndexStore(tmp_path), list[str](), StoredIndex.get
    index = store.index("tool")
    index.commit(pending_batch(IndexChanges({"known": RECORD})))

    def counted(stored: StoredIndex, native: str) -> OwnedRecord | None:
        asked.append(native)
        return get(stored, native)

    monkeypatch.setattr(StoredIndex, "get", counted)
    staged = StagedIndex(index)
    for native, owned in (("known", RECORD), ("unknown", None)):
        assert [staged.get(native) for _ in range(3)] == [owned] * 3
        staged.put(native, OwnedRecord())
        assert staged.get(native) == OwnedRecord()
    assert asked == ["known", "unknown"]
    store.close()
