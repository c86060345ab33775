"""Work that takes long, in slices between which heartbeats, health checks and other tasks run."""

import asyncio
import time
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, Final

SLICE_SECONDS: Final = 0.05
"""Time of a slice. One step may take longer."""


async def run_in_slices(steps: Iterable[object]) -> None:
    """Do all steps; what they return is dropped. What takes less than a slice is done without an await."""
    until = time.monotonic() + SLICE_SECONDS
    for _ in steps:
        if time.monotonic() >= until:
            await asyncio.sleep(0)
            until = time.monotonic() + SLICE_SECONDS


def emptying(large: MutableMapping[Any, Any]) -> Iterator[None]:
    """Empty it in steps: to free all of it together would block the process."""
    while large:
        large.popitem()
        yield
