"""The store when the disk fails, another process has it, files are damaged, or the process is killed."""

import asyncio
import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from streams.waiting import positions
from streams.waiting.directory import StoreDirectory
from streams.waiting.positions import PositionsFile
from streams.waiting.rocks import RocksStore
from streams.waiting.spans import Span
from streams.waiting.store import StoreAwayError, StoreLostError
from tests.support.rocks_stores import (
    ITEMS,
    SPAN_MS,
    covered_to,
    damage_rows,
    flip,
    found,
    look_up,
    new_store,
    opened_store,
    put_items,
    record,
    why,
)
from tests.support.small_disks import fill, read_only
from tests.support.tree import ROOT

_HOLDER = """
import sys
from pathlib import Path
from tests.support.rocks_stores import look_up, opened_store
store = opened_store(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""
_WRITER = """
import asyncio, sys
from pathlib import Path
from tests.support.rocks_stores import look_up, covered_to, opened_store, record

async def write(directory):
    store = opened_store(directory)
    settled = store.settled(0)
    offset = settled.covered.end if settled else 0
    while True:
        for offset in range(offset, offset + 500):
            store.put(0, record(offset, b"%d" % (offset % 100), offset))
        offset += 1
        await store.flush({0: covered_to(offset)})
        print(offset, flush=True)

asyncio.run(write(Path(sys.argv[1])))
"""


def python(program: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


# Another process


@pytest.mark.row(45)
def test_a_directory_of_another_process_is_left_alone(directory: Path) -> None:
    with python(_HOLDER, directory) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "open\n"
        store = new_store(directory)
        store.open()
        assert "in use by `worker` with process id" in (store.away or "")
        assert (directory / positions.NAME).exists()
        holder.kill()
    store.open()
    assert store.away is None
    asyncio.run(store.close())


@pytest.mark.row(48)
def test_positions_are_never_ahead_of_rows_when_a_process_is_killed(directory: Path) -> None:
    flushed = 0
    for round_number in range(2):
        with python(_WRITER, directory) as writer:
            assert writer.stdout
            # Killed somewhere in the flush after these.
            for _ in range(3 + round_number):
                flushed = int(writer.stdout.readline())
            writer.kill()
        store = opened_store(directory)
        assert store.number == 0
        settled = store.settled(0)
        assert settled
        assert settled.covered.end >= flushed
        offsets = {each.offset for item in range(100) for each in look_up(store, 0, b"%d" % item)}
        assert offsets >= set(range(settled.covered.end))
        asyncio.run(store.close())


# The disk fails


@pytest.mark.row(46)
async def test_a_full_disk_keeps_what_was_flushed(small_disk: Path) -> None:
    store = opened_store(small_disk / "store")
    put_items(store)
    await store.flush({0: covered_to(ITEMS)})
    put_items(store, ITEMS)
    with fill(small_disk):
        await store.flush({0: covered_to(2 * ITEMS)})
        assert "No space left on device" in (store.away or "")
        assert store.number == 1
        with pytest.raises(StoreAwayError, match="No space left"):
            look_up(store, 0, b"1")
        with pytest.raises(StoreAwayError, match="No space left"):
            store.put(0, record(1))
        store.open()
        assert why(store)
    store.open()
    assert why(store) is None
    assert store.number == 1
    assert store.settled(0) == covered_to(ITEMS)
    assert found(store) == ITEMS
    put_items(store, ITEMS)
    await store.flush({0: covered_to(2 * ITEMS)})
    await store.close()
    again = opened_store(small_disk / "store")
    assert (found(again, ITEMS), again.settled(0)) == (ITEMS, covered_to(2 * ITEMS))
    await again.close()


@pytest.mark.row(46)
async def test_a_disk_that_became_read_only_keeps_what_was_flushed(small_disk: Path) -> None:
    store = opened_store(small_disk / "store")
    put_items(store)
    await store.flush({0: covered_to(ITEMS)})
    await store.close()
    with read_only(small_disk):
        store.open()
        assert "Read-only file system" in (store.away or "")
    store.open()
    assert (store.away, found(store), store.settled(0)) == (None, ITEMS, covered_to(ITEMS))
    await store.close()


@pytest.mark.row(46)
async def test_positions_that_cannot_be_written_leave_the_old_ones(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(0, record(1))
    await store.flush({0: covered_to(2)})
    store.put(0, record(2))

    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("streams.waiting.positions.os.fsync", failing)
        await store.flush({0: covered_to(3)})
    assert "Input/output error" in (store.away or "")
    assert store.number == 1
    store.open()
    assert (store.away, store.settled(0)) == (None, covered_to(2))
    assert [each.offset for each in look_up(store, 0, b"item")] == [1, 2]


@pytest.mark.row(46)
async def test_a_window_that_cannot_be_written_is_refused(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise StoreAwayError("IO error: No space left on device")

    monkeypatch.setattr(Span, "write", failing)
    store.put(0, record(1))
    with pytest.raises(StoreAwayError, match="No space left"):
        store.write_window()
    assert store.away
    assert store.number == 1
    monkeypatch.undo()
    store.open()
    assert look_up(store, 0, b"item") == []


async def test_a_partition_that_was_forgotten_while_the_store_was_away_stays_forgotten(directory: Path) -> None:
    store = opened_store(directory)
    store.put(0, record(1))
    await store.flush({0: covered_to(2)})
    await store.close()
    store.forget(0)
    store.open()
    assert store.settled(0) is None
    assert look_up(store, 0, b"item") == []
    await store.close()
    again = opened_store(directory)
    assert again.settled(0) is None
    await again.close()


@pytest.mark.row(46)
async def test_a_nearly_full_disk_costs_the_oldest_spans(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = new_store(directory, min_free_bytes=100)
    free = [1_000]
    monkeypatch.setattr(StoreDirectory, "free_bytes", property(lambda _: free[0]))
    store.open()
    for second in range(4):
        for number in range(second + 1):
            store.put(0, record(10 * second + number, b"item", second * SPAN_MS))
    await store.flush({0: covered_to(100)})
    assert (len(store._spans), store.take_given_up()) == (4, {})
    free[0] = 10
    with caplog.at_level(logging.WARNING):
        await store.flush({0: covered_to(100)})
    assert [each.offset for each in look_up(store, 0, b"item")] == [30, 31, 32, 33]
    assert store.take_given_up() == {0: 1 + 2 + 3}
    assert store.take_given_up() == {}
    assert "the disk is nearly full: drop 3 waiting evaluations before 3000" in caplog.text
    await store.close()
    store.open()
    assert (store.away, store.settled(0)) == (None, covered_to(100))
    await store.close()


# What is in the directory is not usable


def _flip_digit(file: Path) -> None:
    flip(file, lambda size: size // 2)


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])


def _another_format(file: Path) -> None:
    content = msgspec.json.decode(file.read_bytes().partition(b"\n")[0])
    PositionsFile(file.parent).write(msgspec.json.encode({**content, "format": 2}), 1)


def _missing_span(file: Path) -> None:
    (span,) = file.parent.glob("*_*")
    shutil.rmtree(span)


def _missing_file_of_span(file: Path) -> None:
    next(file.parent.glob("*_*/*.sst")).unlink()


def _missing_current(file: Path) -> None:
    next(file.parent.glob("*_*/CURRENT")).unlink()


def _torn_manifest(file: Path) -> None:
    path = next(file.parent.glob("*_*/MANIFEST*"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.row(47)
@pytest.mark.parametrize(
    "damage",
    [
        _flip_digit,
        _truncate,
        Path.unlink,
        _another_format,
        _missing_span,
        _missing_file_of_span,
        _missing_current,
        _torn_manifest,
    ],
    ids=lambda damage: damage.__name__.strip("_"),
)
async def test_a_damaged_directory_is_begun_again(directory: Path, damage: Callable[[Path], None]) -> None:
    store = opened_store(directory)
    put_items(store)
    await store.flush({0: covered_to(ITEMS)})
    await store.close()
    damage(directory / positions.NAME)
    again = new_store(directory)
    again.open()
    assert (again.away, again.settled(0), again.evaluations()) == (None, None, 0)
    assert again.number == 1
    assert look_up(again, 0, b"1") == []
    put_items(again)
    await again.flush({0: covered_to(ITEMS)})
    assert found(again) == ITEMS
    await again.close()


@pytest.mark.row(53)
@pytest.mark.parametrize(
    "other", [{"topic": "other"}, {"partition_count": 5}], ids=lambda other: "-".join(map(str, other))
)
async def test_a_directory_of_another_topic_is_begun_again(directory: Path, other: dict[str, object]) -> None:
    store = opened_store(directory)
    put_items(store)
    await store.flush({0: covered_to(ITEMS)})
    await store.close()
    again = new_store(directory, **other)  # type: ignore[arg-type]
    again.open()
    assert (again.away, again.settled(0), again.number) == (None, None, 1)
    assert look_up(again, 0, b"1") == []
    await again.close()


@pytest.mark.row(47)
async def test_a_damaged_block_empties_the_store(directory: Path) -> None:
    store = opened_store(directory)
    put_items(store)
    await store.flush({0: covered_to(ITEMS)})
    await store.close()
    damage_rows(directory)
    again = opened_store(directory)
    number = again.number
    with pytest.raises(StoreLostError, match="block checksum mismatch") as kept:
        found(again)
    assert (again.away, again.number, again.settled(0)) == (None, number + 1, None)
    assert (found(again), again.evaluations()) == (0, 0)
    put_items(again)
    await again.flush({0: covered_to(ITEMS)})
    assert found(again) == ITEMS
    await again.close()
    assert "mismatch" in str(kept.value)
