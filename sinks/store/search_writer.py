"""Decides when items that changed become searchable, so that reading the topics never waits for it."""

import asyncio
import logging
import sqlite3
import time
from typing import Final

from sinks.metrics import ViewMetrics
from sinks.store.store import Store

log = logging.getLogger(__name__)

MOST_LAG: Final = 1_000
"""Records that may wait on the broker while documents are written."""
_BUSY_SECONDS: Final = 1.0
"""Minimum time between two writes while records arrive. An item that changes often is written once in it."""
_BUSY_PAUSE: Final = 9
"""Length of the pause after a write while records arrive, in lengths of the write: a tenth of the time is for them."""
_RETRY_SECONDS: Final = 10.0
"""Pause after a write that failed."""


class SearchWriter:
    """Writes search documents, some at a time, between the transactions of a reader.

    Args:
        store: the store.
        metrics: counts failures.
    """

    def __init__(self, store: Store, metrics: ViewMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self._more = True
        self._next_at = 0.0

    def note_change(self) -> None:
        """Note that rows have changed."""
        self._more = True

    async def write_some(self, *, lag: int, busy: bool) -> None:
        """Write some documents if it is time to.

        `lag` is the number of records on the broker that are not read; `busy`: whether records arrived just now. While
        the store cannot be written, nothing is written: what is searchable stays as it is.
        """
        started = time.monotonic()
        if not self._more or lag > MOST_LAG or started < self._next_at:
            return
        pause = 0.0
        try:
            self._more = await asyncio.to_thread(self._store.write_search_documents)
        except sqlite3.OperationalError as error:
            self._metrics.failed("store")
            log.warning("changed items are not searchable yet, retrying: %s", error)
            pause = _RETRY_SECONDS
        ended = time.monotonic()
        if busy:
            pause = max(pause, _BUSY_SECONDS, _BUSY_PAUSE * (ended - started))
        self._next_at = ended + pause
