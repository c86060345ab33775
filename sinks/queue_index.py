"""The totals of all queues, kept in memory: a list of queues is sorted and summed over all of them.

A queue is read again when its revision changes. Totals are over all days, so they stay right at midnight.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from aggregator.snapshot.inputs import CountingRules
from sinks.queries.queue_totals import QueueTotals, queue_revisions, queue_totals

log = logging.getLogger(__name__)


class QueueSort(StrEnum):
    """Orders of queues."""

    COMPARISONS = "comparisons"
    ALIGNMENT = "alignment"
    NAME = "name"


_ORDERS: Final[dict[QueueSort, Callable[[QueueTotals], tuple[float, str]]]] = {
    QueueSort.COMPARISONS: lambda totals: (-totals.comparisons, totals.entry.queue),
    # The lowest alignment comes first, undefined alignment last.
    QueueSort.ALIGNMENT: lambda totals: (
        2.0 if totals.alignment is None else totals.alignment,
        totals.entry.queue,
    ),
    QueueSort.NAME: lambda totals: (0.0, totals.entry.queue.casefold()),
}


def sort_queues(queues: list[QueueTotals], sort: QueueSort = QueueSort.COMPARISONS) -> list[QueueTotals]:
    """Queues in an order."""
    return sorted(queues, key=_ORDERS[sort])


class QueueIndex:
    """Totals of every queue. Any thread may call it.

    Args:
        rules: how rows count.
    """

    def __init__(self, rules: CountingRules) -> None:
        self._rules = rules
        self._totals: dict[str, QueueTotals] = {}
        self._lock = threading.Lock()
        self.failed: frozenset[str] = frozenset()
        """Queues whose tallies are invalid: they count nothing here."""

    def queues(self, connection: sqlite3.Connection) -> list[QueueTotals]:
        """The queues that a row names, in the order in which they were first seen, as a connection sees them."""
        revisions = queue_revisions(connection)
        with self._lock:
            totals = self._totals
            changed = [
                queue
                for queue, revision in revisions
                if (known := totals.get(queue)) is None or known.entry.revision != revision
            ]
            if changed:
                self.failed -= frozenset(changed)
                totals.update(self._read(connection, changed))
            return [totals[queue] for queue, _ in revisions if totals[queue].named]

    def _read(self, connection: sqlite3.Connection, queues: list[str]) -> dict[str, QueueTotals]:
        """The totals of queues; those of a queue with impossible tallies are empty, and others are not concerned."""
        try:
            return queue_totals(connection, queues, self._rules)
        except (ValueError, TypeError, LookupError) as error:
            if len(queues) > 1:
                half = len(queues) // 2
                return self._read(connection, queues[:half]) | self._read(connection, queues[half:])
            self.failed |= frozenset(queues)
            log.warning("no totals of a queue whose tallies are invalid: queue=%r, error=%r", queues[0], error)
            return queue_totals(connection, queues, self._rules, tallies=False)
