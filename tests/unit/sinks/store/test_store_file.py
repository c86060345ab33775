"""The store's file: writers, readers, faults, and files that are not accepted."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aggregator.policy import Policy
from sinks.store.schema import MIGRATIONS, StoreError
from sinks.store.store import ForeignWriteError, Store
from sinks.store.tail import LedgerRow
from tests.support.logs import Logs, steps_of
from tests.support.stores import assert_matches, comparisons, dump


@contextlib.contextmanager
def broken(store: Store, fault: str) -> Iterator[None]:
    """The store cannot be written for the length of the context."""
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        if fault == "locked":
            other.execute("BEGIN IMMEDIATE")
            yield
            other.rollback()
            return
        writer = store._writer
        assert writer is not None
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages}" if fault == "full" else "PRAGMA query_only = 1")
        yield
        writer.execute("PRAGMA max_page_count = 1000000" if fault == "full" else "PRAGMA query_only = 0")


def test_threads_may_write_at_the_same_time(store: Store) -> None:
    def write(partition: int) -> None:
        for position in range(30):
            store.spool(partition, [LedgerRow(position, b"k", b"v")])

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(4)))
    assert {state.facts_next for state in store.partitions().values()} == {30}


@pytest.mark.parametrize("fault", ["full", "readonly", "locked"])
def test_a_store_that_cannot_be_written_serves_the_last_state_and_recovers(store: Store, fault: str) -> None:
    logs, bigger = Logs(), Logs()
    logs.write(comparisons(2))
    bigger.write(comparisons(400))
    store.apply(steps_of(logs), 1)
    before = dump(store)
    steps = steps_of(bigger)
    with broken(store, fault):
        with pytest.raises(sqlite3.OperationalError, match=fault):
            store.apply(steps, 1)
        assert dump(store) == before
        assert_matches(store, comparisons(2), Policy.EACH)
    store.apply(steps, 1)
    assert_matches(store, comparisons(400), Policy.EACH)


def test_a_crash_in_the_middle_of_a_transaction_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "view.sqlite3"
    logs = Logs()
    logs.write(comparisons(2))
    with contextlib.closing(Store(path)) as store:
        store.apply(steps_of(logs), 1)
        before = dump(store)
        with contextlib.suppress(KeyboardInterrupt), store.write() as connection:
            connection.execute("DELETE FROM annotations")
            raise KeyboardInterrupt
        assert dump(store) == before


def test_a_store_of_a_later_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "view.sqlite3"
    Store(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match=f"version {len(MIGRATIONS) + 1}"):
        Store(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "view.sqlite3"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(StoreError, match="cannot open"):
        Store(path)


def test_a_second_process_reads_and_cannot_write(store: Store) -> None:
    logs = Logs()
    logs.write(comparisons(2))
    store.apply(steps_of(logs), 1)
    with contextlib.closing(Store(store.path, readonly=True)) as reader:
        assert dump(reader) == dump(store)
        with pytest.raises(StoreError, match="reading only"):
            reader.apply(steps_of(logs), 1)


def test_connections_that_nobody_reads_with_are_closed(store: Store) -> None:
    with store.read() as used:
        with store.read() as idle:
            pass
        store.close_idle()
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            idle.execute("SELECT 1")
        assert used.execute("SELECT 1").fetchone() == (1,)
    with store.read() as again:
        assert again is used


def test_a_connection_is_closed_after_its_reader_when_the_store_closes_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "view.sqlite3")
    with store.read() as connection:
        store.close()
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


@pytest.mark.parametrize("write", ["apply", "spool", "forget_pending"])
def test_a_write_that_does_not_go_on_from_the_stored_positions_changes_nothing(store: Store, write: str) -> None:
    """Two views on one directory, of which one was held up: its old tallies must not replace newer ones."""
    logs = Logs()
    logs.write(comparisons(2))
    store.apply(steps_of(logs), 1)
    with contextlib.closing(Store(store.path)) as slow:
        held = steps_of(logs)
        logs.write(comparisons(4))
        store.apply(steps_of(logs), 1)
        before = dump(store)
        writes: dict[str, Callable[[], object]] = {
            "apply": lambda: slow.apply(held, 1),
            "spool": lambda: slow.spool(0, [LedgerRow(9, b"k", b"v")]),
            "forget_pending": lambda: slow.forget_pending(0),
        }
        with pytest.raises(ForeignWriteError, match=r"partitions \[0\]"):
            writes[write]()
        assert dump(store) == before
        # It continues from what is stored now; then the other one is the slow one.
        slow.resume()
        logs.write(comparisons(6))
        slow.apply(steps_of(logs), 1)
        assert_matches(store, comparisons(6), Policy.EACH)
        with pytest.raises(ForeignWriteError):
            store.apply(steps_of(logs), 1)


def test_rows_that_are_read_again_are_not_skipped_after_a_crash(store: Store) -> None:
    logs = Logs()
    logs.write(comparisons(2))
    store.apply(steps_of(logs), 1)
    position = store.partitions()[0].position
    store.spool(0, [LedgerRow(50, b"k", b"v")])
    assert store.partitions()[0].facts_next == 51
    store.forget_pending(0)
    assert store.partitions()[0].facts_next == position
