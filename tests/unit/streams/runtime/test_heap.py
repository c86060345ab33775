"""Garbage collection and free memory around a restore."""

import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from streams.runtime import heap


class Cycle:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def _as_a_process_begins() -> Iterator[None]:
    """Other tests of this process may have left a frozen heap, and other thresholds."""
    before = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def garbage() -> weakref.ref[Cycle]:
    return weakref.ref(Cycle())


def test_no_garbage_is_collected_while_restoring() -> None:
    frozen = gc.get_freeze_count()
    with heap.pause_collection():
        assert not gc.isenabled()
        gone = garbage()
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen
    assert gone() is None, "garbage is collected first"


def test_frozen_garbage_is_collected_by_the_next_restore() -> None:
    """A connection that exists while rows are frozen, and becomes a cycle when it is lost."""
    with heap.pause_collection():
        held = Cycle()
    gone = weakref.ref(held)
    del held
    gc.collect()
    assert gone() is not None, "out of sight"
    with heap.pause_collection():
        pass
    assert gone() is None


async def test_no_memory_is_returned_while_restoring(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take half a second for a million rows, and the end of the restore does it anyway."""
    monkeypatch.setattr(heap, "TRIM_SECONDS", 0.0)
    cleared = asyncio.Event()
    monkeypatch.setattr(heap, "collect", cleared.set)
    released: list[bool] = []
    trimming = asyncio.create_task(heap.trim_heap(lambda: released.append(True)))
    gc.disable()
    try:
        for _ in range(10):
            await asyncio.sleep(0)
        assert not cleared.is_set()
        assert not released
    finally:
        gc.enable()
    await cleared.wait()
    assert released
    trimming.cancel()


def test_many_new_objects_start_no_full_collection() -> None:
    def full_collections() -> int:
        started = gc.get_stats()[2]["collections"]
        kept = [[number] for number in range(400_000)]
        return gc.get_stats()[2]["collections"] - started if kept else -1

    gc.collect()
    assert full_collections() > 0
    heap.collect_seldom()
    gc.collect()
    assert full_collections() == 0


_GNU = pytest.mark.skipif(heap._malloc_trim is None, reason="not the GNU C library: it has no malloc_trim")


_BURST = """
import os
from streams.runtime import heap
from tests.support.processes import resident_bytes
before = resident_bytes(os.getpid())
burst = [b"\\x01" * (1 << 16) for _ in range(1000)]
# The last block stays, and with it the heap below.
last = burst.pop()
during = resident_bytes(os.getpid())
del burst
heap.collect()
print(during - before, during - resident_bytes(os.getpid()))
"""


@_GNU
def test_memory_of_a_burst_is_returned() -> None:
    """In a process of its own: one that ran other tests has free memory, and puts part of the burst there."""
    ended = subprocess.run([sys.executable, "-c", _BURST], check=True, capture_output=True)
    grown, returned = map(int, ended.stdout.split())
    assert grown > 48 << 20
    assert returned > 48 << 20


_THREADS = """
import ctypes, threading
from streams.runtime import heap
{before}
at_once = threading.Barrier(4)
found = set()
def allocate():
    block = ctypes.CDLL(None).malloc
    block.restype = ctypes.c_size_t
    at_once.wait()
    # A part of memory that is not the first begins at a multiple of 64 MiB.
    found.add(block(1000) >> 26)
    at_once.wait()
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found))
"""


@_GNU
@pytest.mark.parametrize(("before", "parts"), [("", 4), ("heap.share_arena()", 1)], ids=["own", "shared"])
def test_threads_share_one_arena(before: str, parts: int) -> None:
    ended = subprocess.run([sys.executable, "-c", _THREADS.format(before=before)], check=True, capture_output=True)
    assert int(ended.stdout) == parts


def test_rows_are_frozen_as_they_grow() -> None:
    thresholds = gc.get_threshold()
    frozen = gc.get_freeze_count()
    try:
        rows = heap.HeapFreezer()
        rows.count(heap.GROWTH_ROWS - 1)
        assert gc.get_freeze_count() == frozen
        gone = garbage()
        rows.count(heap.GROWTH_ROWS)
        assert gc.get_freeze_count() > frozen
        assert gone() is None, "garbage is collected first"
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
