"""A damaged store is found at the start or by the read that meets it, set aside, and its history goes over."""

import contextlib
import errno
import os
import random
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.facts import Annotation, Fact
from aggregator.policy import Policy
from aggregator.snapshot.inputs import CountingRules
from sinks.documents import Documents
from sinks.snapshots import SnapshotHistory
from sinks.store.damage import StoreDamagedError, StoreGoneError, copy_history, refuse_damaged, set_aside
from sinks.store.store import Store
from tests.support.logs import Logs, steps_of
from tests.support.sample_view import FACTS, NOW_MS, fill
from tests.support.stores import TODAY, assert_matches, comparisons

PAGE = 4096


def filled(path: Path, items: int = 300) -> int:
    """A closed store with this many items; returns its number of pages."""
    with contextlib.closing(Store(path)) as store:
        logs = Logs()
        logs.write(comparisons(items))
        store.apply(steps_of(logs), 1)
    return path.stat().st_size // PAGE


def overwrite(path: Path, pages: list[int], content: bytes) -> None:
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * PAGE)
            file.write(content)


def test_a_sound_store_and_a_missing_one_pass_the_check(tmp_path: Path) -> None:
    refuse_damaged(tmp_path / "view.sqlite3")
    filled(tmp_path / "view.sqlite3")
    refuse_damaged(tmp_path / "view.sqlite3")


@pytest.mark.parametrize("content", [bytes(PAGE), os.urandom(PAGE)], ids=["zeros", "noise"])
@pytest.mark.parametrize("where", ["first page", "some pages", "half of the file"])
def test_damage_is_found_at_the_start(tmp_path: Path, where: str, content: bytes) -> None:
    path = tmp_path / "view.sqlite3"
    pages = filled(path)
    if where == "half of the file":
        os.truncate(path, path.stat().st_size // 2)
    else:
        overwrite(path, [0] if where == "first page" else random.Random(7).sample(range(1, pages), 5), content)
    if where == "first page" and not any(content):
        # SQLite takes a file that begins with zeros for an empty database in older releases; either way it is no store.
        with contextlib.suppress(StoreDamagedError):
            refuse_damaged(path)
        return
    with pytest.raises(StoreDamagedError, match=r"view\.sqlite3"):
        refuse_damaged(path)


def test_damage_that_no_message_can_quote_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "view.sqlite3"
    filled(path)
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE ", b"CREATE \xeeABLE ", 1))
    with pytest.raises(StoreDamagedError, match=r"view\.sqlite3"):
        refuse_damaged(path)


def test_the_check_ends_in_time(tmp_path: Path) -> None:
    """Half a second for a file that takes longer: the view starts, and finds damage when it reads it."""
    path = tmp_path / "view.sqlite3"
    filled(path)
    started = time.monotonic()
    refuse_damaged(path, 0.0)
    assert time.monotonic() - started < 10


def test_a_file_of_another_kind_is_damage_too(tmp_path: Path) -> None:
    path = tmp_path / "view.sqlite3"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(StoreDamagedError):
        refuse_damaged(path)
    with pytest.raises(StoreDamagedError):
        Store(path)


def test_a_read_that_meets_damage_says_so_and_tells_the_view(tmp_path: Path) -> None:
    path = tmp_path / "view.sqlite3"
    pages = filled(path)
    with contextlib.closing(Store(path)) as store:
        told: list[StoreDamagedError] = []
        store.on_damage = told.append
        overwrite(path, list(range(1, pages)), os.urandom(PAGE))
        with pytest.raises(StoreDamagedError, match="damaged"):
            list(store.facts())
        assert len(told) == 1
        logs = Logs()
        logs.write(comparisons(9))
        with pytest.raises(StoreDamagedError):
            store.apply(steps_of(logs), 1)


def test_a_new_store_takes_the_place_and_the_history_goes_over(tmp_path: Path) -> None:
    path = tmp_path / "view.sqlite3"
    with contextlib.closing(Store(path)) as store:
        fill(store, FACTS)
        document = Documents(store, CountingRules(), lambda: TODAY).get("support")
        assert document is not None
        assert SnapshotHistory(store, 10, 10).add([document], NOW_MS)
        connection = store._writer
        assert connection is not None
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'annotations'").fetchone()
    overwrite(path, [root - 1], os.urandom(PAGE))
    with pytest.raises(StoreDamagedError):
        refuse_damaged(path)
    aside = set_aside(path)
    assert aside == tmp_path / "damaged-1.sqlite3"
    with contextlib.closing(Store(path)) as store:
        with store.write() as connection:
            assert copy_history(aside, connection) == 1
        with store.read() as connection:
            assert connection.execute("SELECT queue, at FROM snapshots").fetchall() == [("support", NOW_MS)]
        logs = Logs()
        logs.write(comparisons(9))
        store.apply(steps_of(logs), 1)
        assert_matches(store, comparisons(9), Policy.EACH)


def test_the_newest_two_damaged_stores_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "view.sqlite3"
    for number in range(1, 5):
        path.write_bytes(b"x")
        (tmp_path / "view.sqlite3-wal").write_bytes(b"y")
        assert set_aside(path).name == f"damaged-{number}.sqlite3"
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        f"damaged-{number}.sqlite3{suffix}" for number in (3, 4) for suffix in ("", "-wal")
    ]


def test_an_error_of_use_is_not_damage(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path / "s")) as store:
        with pytest.raises(sqlite3.OperationalError), store.read() as connection:
            connection.execute("SELECT * FROM nothing")
        with pytest.raises(sqlite3.IntegrityError), store.write() as connection:
            connection.execute("INSERT INTO queues (queue, revision) VALUES ('q', 1), ('q', 1)")


@given(seed=st.integers(0, 2**32), noise=st.booleans())
@settings(max_examples=15, deadline=None)
def test_the_rows_of_sound_pages_can_still_be_read(seed: int, noise: bool) -> None:
    """With the embedded broker, the store of the last run is the only copy of its events."""
    facts: list[Fact] = [
        Annotation(at=NOW_MS + n, id=f"a{n}", queue="q", item=f"i{n}", stars=1, explanation=f"{n} " * 60)
        for n in range(600)
    ]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s"
        with contextlib.closing(Store(path)) as store:
            fill(store, facts)
            with store.read() as connection:
                leaves = [
                    page - 1
                    for (page,) in connection.execute(
                        "SELECT pageno FROM dbstat WHERE name = 'annotations' AND pagetype = 'leaf'"
                    )
                ]
        some = random.Random(seed).sample(leaves, 3)
        overwrite(path, some, random.Random(seed).randbytes(PAGE) if noise else bytes(PAGE))
        gaps: list[str] = []
        with contextlib.closing(Store(path, readonly=True)) as store:
            read = list(store.readable_facts(gaps.append))
        assert gaps
        assert {fact.id for fact in read} <= {fact.id for fact in facts}
        # A page is skipped with at most as many rows after it.
        assert len(read) > len(facts) * (1 - 6 * 2 / len(leaves))


@pytest.mark.parametrize("whole_directory", [False, True])
def test_a_store_that_is_gone_is_damaged_for_the_next_reader(tmp_path: Path, *, whole_directory: bool) -> None:
    path = tmp_path / "data" / "view.sqlite3"
    path.parent.mkdir()
    found: list[StoreDamagedError] = []
    with contextlib.closing(Store(path)) as store:
        store.on_damage = found.append
        fill(store, FACTS)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink()
        if whole_directory:
            path.parent.rmdir()
        store.close_idle()
        with pytest.raises(StoreGoneError, match=r"view\.sqlite3 is gone"), store.read():
            pass
    assert [str(error) for error in found] == [f"the store {path} is gone"]


def test_a_store_with_another_in_its_place_is_gone(tmp_path: Path) -> None:
    """Readers would read that of another process, while the writer goes on in a file without a name."""
    path = tmp_path / "view.sqlite3"
    with contextlib.closing(Store(path)) as store:
        path.rename(tmp_path / "moved.sqlite3")
        with contextlib.closing(Store(path)):
            store.close_idle()
            with pytest.raises(StoreGoneError), store.read():
                pass


def test_a_disk_that_cannot_be_looked_at_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(*_: object, **__: object) -> os.stat_result:
        raise OSError(errno.ESTALE, "Stale file handle")

    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    with contextlib.closing(Store(tmp_path / "view.sqlite3")) as store:
        with monkeypatch.context() as patched:
            patched.setattr(os, "stat", stale)
            patched.setattr(sqlite3, "connect", refuse)
            with pytest.raises(sqlite3.OperationalError), store.read():
                pass
        with store.read() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_no_file_left_to_open_is_not_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    with contextlib.closing(Store(tmp_path / "view.sqlite3")) as store:
        monkeypatch.setattr(sqlite3, "connect", refuse)
        with pytest.raises(sqlite3.OperationalError), store.read():
            pass
