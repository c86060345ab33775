"""The totals of all queues, kept in memory: a list of queues is sorted and summed over all of them.

A queue is read again when its revision changes. Totals are over all days, so they stay right at midnight.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final

from aggregator.snapshot.inputs import CountingRules
from sinks import budgets
from sinks.queries.queue_totals import QueueTotals, count_tallies, queue_revisions, queue_totals

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


def divided(queues: Sequence[QueueTotals], most: int) -> list[Sequence[QueueTotals]]:
    """Queues in an order, divided into pages, at least one.

    A page has `most` queues, and none after those that have `budgets.LISTED_PAIRS`: each costs its document.
    """
    pages: list[Sequence[QueueTotals]] = []
    start = pairs = 0
    for number, totals in enumerate(queues):
        if number - start == most or pairs >= budgets.LISTED_PAIRS:
            pages.append(queues[start:number])
            start, pairs = number, 0
        pairs += len(totals.pairs)
    return [*pages, queues[start:]]


class QueueIndex:
    """Totals of every queue. Any thread may call it.

    Args:
        rules: how rows count.
    """

    def __init__(self, rules: CountingRules) -> None:
        self._rules = rules
        self._totals: dict[str, QueueTotals] = {}
        self._lock = threading.Lock()
        """Nothing is read while it is held."""
        self._reading = threading.Lock()
        """Of those that need all queues, one reads what has changed, and the others wait for it."""
        self.failed: frozenset[str] = frozenset()
        """Queues whose tallies are invalid: they count nothing here."""

    def queues(self, connection: sqlite3.Connection) -> list[QueueTotals]:
        """The queues that a row names, in the order in which they were first seen, as a connection sees them."""
        revisions = queue_revisions(connection)
        with self._reading:
            totals, changed = self._known(revisions)
            if changed:
                totals |= self._read(connection, changed)
        return [totals[queue] for queue, _ in revisions if totals[queue].named]

    def at_hand(self, connection: sqlite3.Connection) -> list[QueueTotals]:
        """`queues`, within a bounded time and without a wait for others.

        Of a queue that changed and has too many tallies to read them now, these are its last totals; it is missing as
        long as nobody has asked for `queues` since it was first seen.
        """
        revisions = queue_revisions(connection)
        totals, changed = self._known(revisions)
        if changed and (few := _with_few_tallies(connection, changed)):
            totals |= self._read(connection, few)
        with self._lock:
            last = [totals.get(queue) or self._totals.get(queue) for queue, _ in revisions]
        return [each for each in last if each is not None and each.named]

    def _known(self, revisions: Iterable[tuple[str, int]]) -> tuple[dict[str, QueueTotals], list[str]]:
        """The totals in memory that are of these revisions, and the other queues."""
        known, changed = {}, []
        with self._lock:
            for queue, revision in revisions:
                totals = self._totals.get(queue)
                if totals is not None and totals.entry.revision == revision:
                    known[queue] = totals
                else:
                    changed.append(queue)
        return known, changed

    def _read(self, connection: sqlite3.Connection, queues: list[str]) -> dict[str, QueueTotals]:
        failed: list[str] = []
        totals = self._read_valid(connection, queues, failed)
        with self._lock:
            self._totals |= totals
            self.failed = (self.failed - frozenset(queues)) | frozenset(failed)
        return totals

    def _read_valid(
        self, connection: sqlite3.Connection, queues: list[str], failed: list[str]
    ) -> dict[str, QueueTotals]:
        """The totals of queues; those of a queue with impossible tallies are empty, and others are not concerned."""
        try:
            return queue_totals(connection, queues, self._rules)
        except (ValueError, TypeError, LookupError) as error:
            if len(queues) > 1:
                half = len(queues) // 2
                first = self._read_valid(connection, queues[:half], failed)
                return first | self._read_valid(connection, queues[half:], failed)
            failed += queues
            log.warning("no totals of a queue whose tallies are invalid: queue=%r, error=%r", queues[0], error)
            return queue_totals(connection, queues, self._rules, tallies=False)


def _with_few_tallies(connection: sqlite3.Connection, queues: Iterable[str]) -> list[str]:
    """As many of the queues as have `budgets.NAVIGATION_TALLIES` together."""
    few = []
    left, looks = budgets.NAVIGATION_TALLIES, 2 * budgets.NAVIGATION_TALLIES
    for queue in queues:
        # A queue without tallies costs something too.
        tallies = 1 + count_tallies(connection, queue, left)
        if tallies <= left:
            few.append(queue)
            left -= tallies
        looks -= tallies
        if looks <= 0:
            break
    return few
