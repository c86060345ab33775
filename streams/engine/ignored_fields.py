"""Reports unknown fields of events, which are ignored: a misspelt optional field changes what is counted."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from streams.events.decoder import Kind
from streams.events.unknown_fields import nearest_field, unknown_fields
from streams.kafka.topics import Topics
from streams.runtime.metrics import WorkerMetrics

_log = logging.getLogger(__name__)

_LOG_SECONDS: Final = 60.0
_MAX_NAMES: Final = 5


class IgnoredFields:
    """Counts the events with unknown fields, and logs one of them per topic and minute, by the names of its fields.

    Args:
        topics: names of the source topics.
        metrics: where the events are counted.
        clock: returns seconds.
    """

    def __init__(self, topics: Topics, metrics: WorkerMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._topics = {kind: topic for topic, kind in topics.sources.items()}
        self._counters = {kind: metrics.unknown_fields.labels(topic) for kind, topic in self._topics.items()}
        self._clock = clock
        self._unlogged: Counter[Kind] = Counter()
        self._due: dict[Kind, float] = {}

    def report(self, kind: Kind, event: bytes) -> None:
        """Count an event that was decoded, and log it when a line is due."""
        self._counters[kind].inc()
        self._unlogged[kind] += 1
        now = self._clock()
        if now >= self._due.get(kind, now):
            self._due[kind] = now + _LOG_SECONDS
            fields = ", ".join(_described(kind, name) for name in unknown_fields(kind, event)[:_MAX_NAMES])
            _log.warning(
                "unknown fields ignored: topic=%s, events=%d, for example %s",
                self._topics[kind],
                self._unlogged.pop(kind),
                fields,
            )


def _described(kind: Kind, name: str) -> str:
    nearest = nearest_field(kind, name)
    return f"{name!a} (did you mean {nearest!r}?)" if nearest else ascii(name)
