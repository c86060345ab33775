"""Garbage collection of a process whose heap is millions of rows that stay.

Left alone, every full collection walks through all rows again, which costs more than folding them. Rows are no
garbage: they are put out of the collector's sight, after one collection so that nothing else goes with them.
"""

import asyncio
import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

GROWTH_ROWS: Final = 100_000
GIVE_BACK_SECONDS: Final = 60.0
_THRESHOLDS: Final = (10_000, 20, 1_000)
_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None
_malloc_trim: Final = getattr(_libc, "malloc_trim", None)
_mallopt: Final = getattr(_libc, "mallopt", None)
"""Of the GNU C library. Other ones give memory back by themselves, or cannot."""
_ARENA_MAX: Final = -8
"""Its M_ARENA_MAX."""


def freeze_heap() -> None:
    """What is there now stays, and is not walked again; but for cycles that nobody holds, which would stay with it."""
    gc.collect()
    gc.freeze()


def collect() -> None:
    """Collect what is in sight, and give back to the system what a burst needed and is free now."""
    gc.collect()
    if _malloc_trim is not None:
        _malloc_trim(0)


def share_arena() -> None:
    """Before there are threads: let them allocate from the same memory. Otherwise each core has up to eight parts of
    its own, and what one thread leaves free is of no use to the next.
    """
    if _mallopt is not None:
        _mallopt(_ARENA_MAX, 1)


async def trim_heap(let_go: Callable[[], None] = lambda: None) -> None:
    """Let go what is not needed now, and clear up, once a minute until cancelled.

    Connections that were lost are cycles, and as good as nothing else lets the collector look at all it knows. On the
    event loop's own thread, because the ends of connections belong there. Not while rows are replayed: that ends with
    it anyway.
    """
    while True:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        if gc.isenabled():
            let_go()
            collect()


@contextmanager
def pause_collection() -> Iterator[None]:
    """While rows are replayed nothing is collected; what is there afterwards stays.

    Connections and tasks went out of sight with the rows of the last time. Those that ended since are seen once more
    here: half a second for a million items.
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
    """Puts rows out of sight as their number grows."""

    def __init__(self) -> None:
        self._frozen = 0
        gc.set_threshold(*_THRESHOLDS)

    def count(self, rows: int) -> None:
        """Tell how many rows there are now."""
        if rows < self._frozen:
            self._frozen = rows
        elif rows >= self._frozen + GROWTH_ROWS:
            freeze_heap()
            self._frozen = rows
