"""Who is told that queues changed. A subscriber that is slow finds what it missed merged, so nothing piles
up.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Subscription:
    """Changed queues that were not taken yet."""

    def __init__(self, queue: str | None) -> None:
        self._queue = queue
        self._changed: set[str] = set()
        self._event = asyncio.Event()

    def tell(self, queues: Iterable[str]) -> None:
        """Note changed queues."""
        self._changed.update(queues if self._queue is None else (q for q in queues if q == self._queue))
        if self._changed:
            self._event.set()

    async def wait(self, timeout_s: float | None = None) -> set[str]:
        """The queues that changed since the last call, as soon as there are any; empty after the time-out."""
        try:
            # Not wait_for: on Python 3.11 it can swallow a cancellation, and a task that was cancelled runs on.
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return set()
        self._event.clear()
        changed, self._changed = self._changed, set()
        return changed


class Changes:
    """Tells every subscriber which queues changed. All of it runs in one event loop."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def tell(self, queues: Iterable[str]) -> None:
        """Tell all subscribers."""
        changed = set(queues)
        for subscription in self._subscriptions:
            subscription.tell(changed)

    @contextmanager
    def subscribe(self, queue: str | None = None) -> Iterator[Subscription]:
        """A subscription to one queue, or to all, for the length of the context."""
        subscription = Subscription(queue)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
