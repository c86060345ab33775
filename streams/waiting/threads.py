"""Jobs of a store in threads: what waits for the disk without holding the GIL."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

_THREADS: Final = 2
"""A flush does not wait for a span that is compacted."""


class DiskJobs:
    """Runs jobs in threads, and knows whether one still runs."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "waiting-store")
        self._running: set[asyncio.Future[None]] = set()

    def __bool__(self) -> bool:
        return bool(self._running)

    async def run(self, job: Callable[[], None]) -> None:
        """Wait for a job. It is not cancelled with its caller: it runs on, and counts as running until it ends."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, job)
        self._running.add(running)
        running.add_done_callback(self._ended)
        await asyncio.shield(running)

    async def join(self) -> None:
        """Wait until no job runs."""
        while self._running:
            await asyncio.wait(self._running)

    def _ended(self, job: asyncio.Future[None]) -> None:
        self._running.discard(job)
        if not job.cancelled():
            # Its exception counts as seen, also when nobody waits any more.
            job.exception()
