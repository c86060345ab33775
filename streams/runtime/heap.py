"""Garbage collection for a process whose heap is millions of long-lived rows.

By default every full collection traverses all rows, which costs more than counting them. Rows are not garbage, so they
are frozen: the collector no longer traverses them. One collection before that keeps real garbage from being frozen.
"""

import asyncio
import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

GROWTH_ROWS: Final = 100_000
"""New rows after which the heap is frozen again."""
TRIM_SECONDS: Final = 60.0
"""Time between two trims of the heap."""
_THRESHOLDS: Final = (10_000, 20, 1_000)
_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None
_malloc_trim: Final = getattr(_libc, "malloc_trim", None)
_mallopt: Final = getattr(_libc, "mallopt", None)
"""Functions of the GNU C library. Other libraries return memory by themselves, or cannot."""
_ARENA_MAX: Final = -8
"""M_ARENA_MAX of `mallopt`."""


def freeze_heap() -> None:
    """Collect garbage, and keep the collector from traversing all other objects again."""
    gc.collect()
    gc.freeze()


def collect_seldom() -> None:
    """Start a full collection by the clock (`trim_heap`) instead of by the number of new objects.

    Counts of a large queue are hundreds of thousands of objects. By default their making starts full collections, which
    cost twice as much as the counting.
    """
    gc.set_threshold(*_THRESHOLDS)


def collect() -> None:
    """Collect garbage among objects that are not frozen, and return free memory to the system."""
    gc.collect()
    if _malloc_trim is not None:
        _malloc_trim(0)


def share_arena() -> None:
    """Let all threads allocate from the same memory; call it before threads start.

    By default there are up to eight arenas per core, and memory that is free in one is not used by the others.
    """
    if _mallopt is not None:
        _mallopt(_ARENA_MAX, 1)


async def trim_heap(release: Callable[[], None] = lambda: None) -> None:
    """Call `release` and collect garbage, once a minute until cancelled.

    Lost connections are reference cycles, and hardly anything else starts a full collection. It runs on the thread of
    the event loop, where finalizers of connections must run. It does nothing while rows are replayed, because a replay
    ends with a collection.
    """
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        if gc.isenabled():
            release()
            collect()


@contextmanager
def pause_collection() -> Iterator[None]:
    """Collect no garbage while rows are replayed, and freeze the heap afterwards.

    An earlier freeze included connections and tasks that have ended since. Unfreezing collects those too, and takes
    half a second for a million items.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        collect()
        gc.freeze()
        gc.enable()


class HeapFreezer:
    """Freezes the heap whenever the number of rows has grown enough."""

    def __init__(self) -> None:
        self._frozen = 0
        collect_seldom()

    def count(self, rows: int) -> None:
        """Take the current number of rows."""
        if rows < self._frozen:
            self._frozen = rows
        elif rows >= self._frozen + GROWTH_ROWS:
            freeze_heap()
            self._frozen = rows
