"""Threads that answer requests, with a bounded queue in which clients take turns.

Reader, gauges, snapshots and readiness have threads of their own, so that slow requests do not make the state old.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Final, TypeVar

from starlette.exceptions import HTTPException

THREADS: Final = 4
"""Calls at the same time: more of them would only wait for each other's interpreter."""
WAITING: Final = 64
"""Calls that wait for a thread."""
_RETRY_SECONDS: Final = 2

CLIENT: Final[ContextVar[str]] = ContextVar("client", default="")
"""The client of the request that is being answered. One who asks for much waits for itself, and not others for it."""

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
        self._threads = threads
        self._most = threads + waiting
        self._refused = refused
        self._taken = 0
        self._running = 0
        self._turns: dict[str, deque[asyncio.Future[None]]] = {}
        """Calls that wait for a thread, by client. The first client is the next one."""
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
            await self._turn()
            try:
                return await asyncio.get_running_loop().run_in_executor(self._executor, call)
            finally:
                self._pass_on()
        finally:
            self._taken -= 1

    async def _turn(self) -> None:
        """Wait until a thread is free for the client."""
        if self._running < self._threads:
            self._running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._turns.setdefault(CLIENT.get(), deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give the place of a call that has ended to the next client."""
        while self._turns:
            client = next(iter(self._turns))
            turns = self._turns.pop(client)
            turn = turns.popleft()
            if turns:
                self._turns[client] = turns
            # Whoever waited may have been cancelled.
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1
