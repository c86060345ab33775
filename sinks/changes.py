"""Notifications of changed queues. What a slow subscriber misses is merged into one set, so nothing piles up."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Subscription:
    """The changed queues that a subscriber has not fetched yet."""

    def __init__(self, queue: str | None) -> None:
        self._queue = queue
        self._changed: set[str] = set()
        self._event = asyncio.Event()

    def notify(self, queues: Iterable[str]) -> None:
        """Add changed queues."""
        self._changed.update(queues if self._queue is None else (q for q in queues if q == self._queue))
        if self._changed:
            self._event.set()

    async def wait(self, timeout_s: float | None = None) -> set[str]:
        """Wait for changed queues; returns all since the last call, or the empty set after the timeout."""
        try:
            # Not wait_for: on Python 3.11 it can swallow a cancellation, and then the cancelled task continues.
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return set()
        self._event.clear()
        changed, self._changed = self._changed, set()
        return changed


class Changes:
    """Notifies every subscriber of changed queues. All methods run in one event loop."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def notify(self, queues: Iterable[str]) -> None:
        """Notify all subscribers."""
        changed = set(queues)
        for subscription in self._subscriptions:
            subscription.notify(changed)

    @contextmanager
    def subscribe(self, queue: str | None = None) -> Iterator[Subscription]:
        """A subscription to one queue, or to all queues, while the context is open."""
        subscription = Subscription(queue)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
