"""Garbage collection and free memory around a restore.

Most tests have a process of their own: what one freezes, and its thresholds, would be those of all tests, and what
others left would decide how much memory is free and when a full collection begins.
"""

import asyncio
import gc
import subprocess
import sys
import textwrap
from typing import Final

import pytest

from streams.runtime import heap

_BEGIN: Final = """
import gc, os, weakref
from streams.runtime import heap

class Cycle:
    '''Garbage that only a collection finds.'''
    def __init__(self):
        self.own = self

def garbage():
    return weakref.ref(Cycle())
"""


def alone(program: str) -> list[int]:
    """Run a program in a process of its own, which fails when an assertion does; returns the numbers that it prints."""
    command = [sys.executable, "-c", _BEGIN + textwrap.dedent(program)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return [int(number) for number in ended.stdout.split()]


def test_no_garbage_is_collected_while_restoring() -> None:
    alone("""
        with heap.pause_collection():
            assert not gc.isenabled()
            gone = garbage()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert gone() is None, "garbage is collected first"
    """)


def test_frozen_garbage_is_collected_by_the_next_restore() -> None:
    """A connection that exists while rows are frozen, and becomes a cycle when it is lost."""
    alone("""
        with heap.pause_collection():
            held = Cycle()
        gone = weakref.ref(held)
        del held
        gc.collect()
        assert gone() is not None, "out of sight"
        with heap.pause_collection():
            pass
        assert gone() is None
    """)


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
    default, seldom = alone("""
        def full_collections():
            gc.collect()
            started = gc.get_stats()[2]["collections"]
            kept = [[number] for number in range(400_000)]
            return gc.get_stats()[2]["collections"] - started

        default = full_collections()
        heap.collect_seldom()
        print(default, full_collections())
    """)
    assert default > 0
    assert seldom == 0


_GNU = pytest.mark.skipif(heap._malloc_trim is None, reason="not the GNU C library: it has no malloc_trim")


@_GNU
def test_memory_of_a_burst_is_returned() -> None:
    grown, returned = alone("""
        from tests.support.processes import resident_bytes
        before = resident_bytes(os.getpid())
        burst = [b"\\x01" * (1 << 16) for _ in range(1000)]
        # The last block stays, and with it the heap below.
        last = burst.pop()
        during = resident_bytes(os.getpid())
        del burst
        heap.collect()
        print(during - before, during - resident_bytes(os.getpid()))
    """)
    assert grown > 48 << 20
    assert returned > 48 << 20


@_GNU
@pytest.mark.parametrize(("before", "parts"), [("", 4), ("heap.share_arena()", 1)], ids=["own", "shared"])
def test_threads_share_one_arena(before: str, parts: int) -> None:
    (found,) = alone(f"""
        import ctypes, threading
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
    """)
    assert found == parts


def test_rows_are_frozen_as_they_grow() -> None:
    alone("""
        rows = heap.HeapFreezer()
        rows.count(heap.GROWTH_ROWS - 1)
        assert gc.get_freeze_count() == 0
        gone = garbage()
        rows.count(heap.GROWTH_ROWS)
        assert gc.get_freeze_count() > 0
        assert gone() is None, "garbage is collected first"
    """)
