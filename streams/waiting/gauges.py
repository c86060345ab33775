"""The gauges of waiting evaluations."""

import time

from streams.waiting.rebuild import Rebuild
from streams.waiting.waiting import WaitingEvaluations


def update_gauges(waiting: WaitingEvaluations, rebuild: Rebuild) -> None:
    """Set them to what is known now."""
    metrics, store = waiting.metrics, waiting.store
    metrics.waiting_evaluations.set(store.evaluations())
    metrics.waiting_bytes.set(store.bytes_on_disk)
    oldest = store.oldest_ms
    metrics.waiting_oldest_seconds.set(0 if oldest is None else max(0.0, time.time() - oldest / 1000))
    # The series of revoked partitions disappear.
    metrics.waiting_rebuild_events.clear()
    for partition, left in rebuild.left().items():
        metrics.waiting_rebuild_events.labels(str(partition)).set(left)
    try:
        metrics.waiting_free_bytes.set(waiting.free_bytes())
    except OSError:
        # The directory does not exist: the store reports that it is away.
        metrics.waiting_free_bytes.set(0)
