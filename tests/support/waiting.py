"""Waiting for what must come true."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

DEADLINE_SECONDS: Final = 30.0


async def eventually(holds: Callable[[], object], deadline_s: float = DEADLINE_SECONDS) -> None:
    """Return as soon as a condition holds; fail when it does not in time. It is asked in a thread."""
    end = time.monotonic() + deadline_s
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.02)
