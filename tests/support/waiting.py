"""Wait for a condition."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

DEADLINE_SECONDS: Final = 30.0


async def eventually(holds: Callable[[], object], deadline_s: float = DEADLINE_SECONDS) -> None:
    """Return as soon as a condition holds; fails after the deadline. The condition is evaluated in a thread."""
    end = time.monotonic() + deadline_s
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < end, f"not within {deadline_s:g} s"
        await asyncio.sleep(0.02)
