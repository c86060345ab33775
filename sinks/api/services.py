"""What the handlers of a view share, for the API and for the page."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Final, TypeVar

from starlette.exceptions import HTTPException

from aggregator.days import date_of, timestamp
from sinks.api.responses import Readiness
from sinks.api.sse import EventStreams
from sinks.changes import Changes
from sinks.config import ViewConfig
from sinks.documents import DocumentError, Documents
from sinks.freshness import Freshness
from sinks.gauges import Gauges
from sinks.metrics import ViewMetrics
from sinks.queries.queues import QueueEntry, StoreState, find_queue, read_state
from sinks.rejections import RecentRejections
from sinks.request_pool import RequestPool
from sinks.store.damage import StoreDamagedError
from sinks.store.store import Store
from streams.runtime.refusals import RefusalReason

_PROBE_THREADS: Final = 1
_PROBES_WAITING: Final = 300
"""As many as there are connections: each probe takes a fraction of a millisecond."""
_BADGE_THREADS: Final = 1
_BADGES_WAITING: Final = 16
_EXPORT_THREADS: Final = 1

_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class Services:
    """What the handlers of a view share."""

    config: ViewConfig
    store: Store
    documents: Documents
    changes: Changes
    metrics: ViewMetrics
    streams: EventStreams
    ready: Callable[[], bool]
    """Returns whether the view has caught up with the topics."""
    freshness: Freshness = field(default_factory=Freshness)
    """Decides whether the state is stale, and why."""
    rejections: RecentRejections = field(default_factory=RecentRejections)
    """The events that were rejected in the last hour."""
    foreign_rows: Callable[[], int] = lambda: 0
    """Returns the number of counted ledger rows that no worker wrote."""
    now: Callable[[], float] = time.time
    """Returns seconds since epoch."""
    gauges: Gauges = field(default_factory=Gauges)
    """The product's gauges; each refresh replaces the object."""
    requests: RequestPool = field(init=False)
    """The threads of requests."""
    probes: RequestPool = field(init=False)
    """The thread of health checks and heartbeats."""
    exports: RequestPool = field(init=False)
    """The thread of exports, whose parts are never refused: they take no place of other requests."""
    badges: RequestPool = field(init=False)
    """The thread of badges: with `public_badges` strangers ask for them, who take no place of readers with a token."""

    def __post_init__(self) -> None:
        """Prepare the threads."""
        refused = partial(self.metrics.refusals.note, RefusalReason.BUSY, None)
        self.requests = RequestPool(refused=refused)
        self.probes = RequestPool(_PROBE_THREADS, _PROBES_WAITING, refused)
        self.exports = RequestPool(_EXPORT_THREADS)
        self.badges = RequestPool(_BADGE_THREADS, _BADGES_WAITING, refused)

    def today(self) -> date:
        """The current UTC day."""
        return date_of(int(self.now() * 1000))

    def readiness(self, state: StoreState) -> Readiness:
        """Readiness and staleness of a state."""
        staleness = self.freshness.judge(state.complete, self.now())
        return Readiness(
            ready=self.ready(),
            stale=staleness.stale,
            stale_reason=staleness.reason,
            as_of=None if state.as_of is None else timestamp(state.as_of),
            rebuilding=state.rebuilding,
            rejected_last_hour=self.rejections.by_reason(round(self.now() * 1000)),
        )

    async def current_readiness(self) -> Readiness:
        """Readiness and staleness of the present state, which requests do not delay."""
        return await self.probes.run(lambda: self._read(lambda connection: self.readiness(read_state(connection))))

    async def query(
        self, ask: Callable[[sqlite3.Connection], _T], *, begun: bool = False, pool: RequestPool | None = None
    ) -> _T:
        """Call `ask` in a thread of the pool (default: `requests`), with a connection that sees one state of the store.

        Raises HTTPException: 503 when too many requests wait or the store is damaged, 500 when the numbers of the queue
        cannot be computed. See `RequestPool` for `begun`.
        """
        try:
            return await (pool or self.requests).run(lambda: self._read(ask), begun=begun)
        except DocumentError as error:
            raise HTTPException(500, str(error)) from error
        except StoreDamagedError as error:
            detail = "the store is damaged, and is read from the topics again"
            raise HTTPException(503, detail, {"Retry-After": "10"}) from error

    def _read(self, ask: Callable[[sqlite3.Connection], _T]) -> _T:
        with self.store.read() as connection:
            return ask(connection)

    async def query_queue(
        self, queue: str, ask: Callable[[sqlite3.Connection, QueueEntry], _T | None], pool: RequestPool | None = None
    ) -> _T:
        """Call `ask` as `query` does, with a queue's entry too.

        Raises HTTPException 404 when no row names the queue, or when `ask` returns None.
        """

        def find_and_ask(connection: sqlite3.Connection) -> _T | None:
            entry = find_queue(connection, queue)
            return None if entry is None else ask(connection, entry)

        answer = await self.query(find_and_ask, pool=pool)
        if answer is None:
            raise HTTPException(404, f"queue {queue!r} not found")
        return answer
