"""Answers about very large queues, which take seconds: who asks gets the newest that is ready."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from cachetools import LRUCache

log = logging.getLogger(__name__)

_ANSWERS: Final = 16
"""Most answers in the cache."""
_WAITING: Final = 16
"""Most answers that are being computed or wait for it."""
_SHARE: Final = 4
"""Most of these that one client has asked for: one that asks for ever new ones takes no place of the others."""
_PAUSE: Final = 4.0
"""An answer is computed again only after a pause of so many times what it took: at most a fifth of a core is used while
a queue changes all the time.
"""

_T = TypeVar("_T")


@dataclass(slots=True)
class _Kept(Generic[_T]):
    """An answer."""

    version: Hashable
    answer: _T
    again: float
    """When it may be computed again."""


@dataclass(slots=True)
class _Job(Generic[_T]):
    """An answer that is being computed, or waits for it."""

    build: Callable[[], tuple[Hashable, _T]]
    client: str | None
    """Who asked first; None for a proxy."""
    done: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None
    """What `build` raised."""


class SlowAnswers(Generic[_T]):
    """Answers by key, computed one after the other in a thread of their own. Any thread may ask.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: LRUCache[Hashable, _Kept[_T]] = LRUCache(_ANSWERS)
        self._jobs: dict[Hashable, _Job[_T]] = {}
        self._waiting: queue.SimpleQueue[Hashable] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def get(
        self,
        key: Hashable,
        version: Hashable,
        build: Callable[[], tuple[Hashable, _T]],
        wait_seconds: float,
        client: str | None = None,
    ) -> _T | None:
        """The answer of a key: of this version when it is ready in time, else of an earlier one; None without any.

        Args:
            key: what is asked.
            version: of what the answer is about.
            build: computes an answer, and returns it with its version. What it raises, who waits for it raises.
            wait_seconds: how long to wait where there is no earlier answer.
            client: who asks, who has a share of what is computed; None for a proxy, which asks for many.
        """
        with self._lock:
            kept, job = self._kept.get(key), self._jobs.get(key)
            if kept is not None and kept.version == version:
                return kept.answer
            if job is None and self._has_place(client) and (kept is None or self._clock() >= kept.again):
                job = self._jobs[key] = _Job(build, client)
                self._waiting.put(key)
                if self._thread is None:
                    # A view that ends does not wait for it.
                    self._thread = threading.Thread(target=self._run, name="slow-answers", daemon=True)
                    self._thread.start()
        # While there is an earlier answer nobody waits for the next.
        if kept is None and job is not None:
            job.done.wait(wait_seconds)
            if job.failure is not None:
                raise job.failure
        with self._lock:
            kept = self._kept.get(key)
        return None if kept is None else kept.answer

    def _has_place(self, client: str | None) -> bool:
        own = 0 if client is None else sum(job.client == client for job in self._jobs.values())
        return len(self._jobs) < _WAITING and own < _SHARE

    def _run(self) -> None:
        while True:
            key = self._waiting.get()
            job, began = self._jobs[key], self._clock()
            try:
                version, answer = job.build()
            except Exception as error:
                # Who asks next tries again, and fails as any other request does.
                log.exception("an answer about a large queue cannot be computed")
                job.failure = error
            else:
                now = self._clock()
                with self._lock:
                    self._kept[key] = _Kept(version, answer, now + _PAUSE * (now - began))
            with self._lock:
                del self._jobs[key]
            job.done.set()
