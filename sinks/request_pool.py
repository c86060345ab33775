"""Threads that answer requests, with a bounded queue.

Reader, gauges, snapshots and readiness have threads of their own, so that slow requests do not make the state old.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from starlette.exceptions import HTTPException

THREADS: Final = 4
"""Calls at the same time: more of them would only wait for each other's interpreter."""
WAITING: Final = 64
"""Calls that wait for a thread."""
_RETRY_SECONDS: Final = 2

_T = TypeVar("_T")


class RequestPool:
    """Calls functions in threads.

    Args:
        threads: calls at the same time.
        waiting: calls that may wait. What comes then is refused.
        refused: called for each call that is refused.
    """

    def __init__(
        self, threads: int = THREADS, waiting: int = WAITING, refused: Callable[[], object] = lambda: None
    ) -> None:
        self._most = threads + waiting
        self._refused = refused
        self._taken = 0
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="request")

    async def run(self, call: Callable[[], _T], *, begun: bool = False) -> _T:
        """The result of a call in a thread.

        Raises HTTPException (503) when too many wait, but not for a request that has `begun`: its first part would have
        been in vain.
        """
        if self._taken >= self._most and not begun:
            self._refused()
            raise HTTPException(503, "too many requests wait: retry later", {"Retry-After": str(_RETRY_SECONDS)})
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)
        finally:
            self._taken -= 1
