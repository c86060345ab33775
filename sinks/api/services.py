"""What the handlers of a view ask: the API's and the page's."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from aggregator.days import date_of, timestamp
from sinks.api.responses import Readiness
from sinks.api.sse import EventStreams
from sinks.changes import Changes
from sinks.config import ViewConfig
from sinks.documents import Documents, State
from sinks.gauges import Gauges
from sinks.metrics import ViewMetrics
from sinks.snapshots import SnapshotHistory
from sinks.store.store import Store


@dataclass(slots=True, kw_only=True)
class Services:
    """What the handlers ask. `gauges` is replaced whole by each refresh; `ready` tells whether the view
    caught up.
    """

    config: ViewConfig
    store: Store
    documents: Documents
    history: SnapshotHistory
    changes: Changes
    metrics: ViewMetrics
    streams: EventStreams
    ready: Callable[[], bool]
    now: Callable[[], float] = time.time
    gauges: Gauges = field(default_factory=Gauges)

    def today(self) -> date:
        """The current UTC day."""
        return date_of(int(self.now() * 1000))

    def readiness(self, state: State) -> Readiness:
        """Readiness and staleness of a state."""
        as_of = state.as_of
        stale = as_of is None or self.now() - as_of / 1000 > self.config.stale_after_s
        return Readiness(ready=self.ready(), stale=stale, as_of=None if as_of is None else timestamp(as_of))
