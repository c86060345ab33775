"""Virtual time: an event loop that never waits.

When nothing is ready, the clock jumps to the next timer. A run is as fast as its callbacks, and the order of events
depends on the seed alone.
"""

import asyncio
import contextlib
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, Final, Protocol
from unittest.mock import patch

EPOCH: Final = 1_780_000_000.0
"""Seconds since 1970 at the start of every history."""


class Owner(Protocol):
    """A simulated process: every task that it starts dies with it."""

    tasks: list["asyncio.Task[Any]"]


OWNER: ContextVar[Owner | None] = ContextVar("OWNER", default=None)
"""The simulated process that the current task belongs to."""


class _Jump(selectors.SelectSelector):
    """A selector that moves the clock instead of waiting for a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Select nothing: no data arrives from outside."""
        if timeout is None:
            raise RuntimeError("nothing will ever happen any more in this history")
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop on virtual seconds, from 0."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self.set_task_factory(_new_task)

    def time(self) -> float:
        return self._jump.now


def _new_task(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Any = None) -> "asyncio.Task[Any]":
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context)
    owner = OWNER.get()
    if owner is not None:
        owner.tasks.append(task)
    return task


def monotonic() -> float:
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


def wall() -> float:
    """Virtual seconds since 1970."""
    return EPOCH + monotonic()


@contextlib.contextmanager
def virtual_clock(*modules: str) -> Iterator[None]:
    """Give these modules virtual time."""
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(
                patch(f"{module}.time", SimpleNamespace(monotonic=monotonic, perf_counter=monotonic, time=wall))
            )
        yield


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run one history on a loop of its own; tasks that are left are dropped."""
    loop = VirtualLoop()
    # The tasks of killed processes end with errors that nothing retrieves.
    loop.set_exception_handler(lambda *_: None)
    try:
        loop.run_until_complete(main())
    finally:
        while left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
