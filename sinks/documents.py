"""Snapshot documents of the store's state, built on demand and cached until the queue changes."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from cachetools import LRUCache

from aggregator.days import Window, timestamp, window_start
from aggregator.facts import DEFAULT_CRITERION
from aggregator.snapshot.build import document
from aggregator.snapshot.inputs import CountingRules, DocumentStamp, QueueState
from aggregator.snapshot.schema import SnapshotDocument
from sinks.queries.counts import queue_states
from sinks.queries.judge_counts import judge_state
from sinks.queries.queues import QueueEntry, StoreState, find_queue, read_state
from sinks.queries.scope import Scope
from sinks.queue_index import QueueIndex
from sinks.store.store import Store
from streams.runtime.errors import EvalAlignmentError

log = logging.getLogger(__name__)

_IMPOSSIBLE: Final = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
"""What arithmetic and decoding raise on numbers that no worker publishes."""
_DOCUMENTS: Final = 2_000
"""Most documents in the cache."""
_JUDGES: Final = 64
"""Most documents of judge versions in the cache."""
_QUEUES: Final = 16
"""Most queues whose counts are in the cache, for the documents of their other windows."""


_Built = tuple[int, date, SnapshotDocument]
"""A document, after the revision of its queue and the UTC day on which it was built."""


@dataclass(slots=True)
class _QueueCounts:
    """A queue's counts since several UTC days."""

    revision: int
    day: date
    states: dict[str, QueueState]
    """Counts by first UTC day (ISO text, empty for all days)."""
    documents: dict[int, SnapshotDocument] = field(default_factory=dict)
    """Documents by the identity of the counts that they were built from."""

    def document(self, window: Window, stamp: DocumentStamp, rules: CountingRules) -> SnapshotDocument:
        """The document of a window. Windows with the same counts, such as all of a young queue, share one build."""
        state = self.states[window_start(window, self.day)]
        built = self.documents.get(id(state))
        if built is None:
            built = self.documents[id(state)] = document(state, window, stamp, rules)
            return built
        copy = _restamped(built, stamp)
        copy["window"] = window
        return copy


def first_criterion(document: SnapshotDocument) -> str:
    """The criterion that a page of the queue opens with: the first that has comparisons, or the first."""
    criteria = document["criteria"]
    compared = [each["criterion"] for each in criteria if each["comparisons"]]
    return next(iter(compared or [each["criterion"] for each in criteria]), DEFAULT_CRITERION)


class _QueueLocks:
    """A lock for each queue, as long as somebody has it or waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}
        """The lock of a queue, and how many have it or wait for it."""

    @contextmanager
    def of(self, queue: str) -> Iterator[None]:
        """Hold the lock of a queue."""
        with self._lock:
            lock, users = self._locks.get(queue) or (threading.Lock(), 0)
            self._locks[queue] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                _, users = self._locks.pop(queue)
                if users > 1:
                    self._locks[queue] = lock, users - 1


class DocumentError(EvalAlignmentError):
    """The document of a queue cannot be computed from what the store has of it. Other queues are not concerned."""


class Documents:
    """Documents of every queue and window. Methods block and may be called from any thread.

    A queue of which the store has impossible numbers raises DocumentError, until its rows or tallies change.

    Args:
        store: where the counts are.
        rules: how rows count.
        today: returns the UTC day on which windows end.
    """

    def __init__(self, store: Store, rules: CountingRules, today: Callable[[], date]) -> None:
        self.rules = rules
        self.index = QueueIndex(rules)
        self._store = store
        self._today = today
        self._documents: LRUCache[tuple[str, Window], _Built] = LRUCache(_DOCUMENTS)
        self._of_judges: LRUCache[tuple[str, Window, str | None], _Built] = LRUCache(_JUDGES)
        self._counts: LRUCache[str, _QueueCounts] = LRUCache(_QUEUES)
        self._lock = threading.Lock()
        """Nothing is read or built while it is held."""
        self._queues = _QueueLocks()
        self._failed: dict[str, tuple[int, str]] = {}
        """Revision and reason of each queue whose document could not be computed."""

    @property
    def failed(self) -> AbstractSet[str]:
        """Queues whose document cannot be computed, as far as it was tried."""
        with self._lock:
            return self._failed.keys() | self.index.failed

    def get(self, queue: str, window: Window = Window.ALL) -> SnapshotDocument | None:
        """The current document of a queue; None when no row names the queue."""
        with self._store.read() as connection:
            entry = find_queue(connection, queue)
            return None if entry is None else self.build(connection, entry, read_state(connection), window)

    def cached(self, queue: str) -> SnapshotDocument | None:
        """The document of a queue that was built last, of any state of today; None when none is in the cache."""
        with self._lock:
            entry = self._documents.get((queue, Window.ALL))
        return entry[2] if entry is not None and entry[1] == self._today() else None

    def build(
        self, connection: sqlite3.Connection, entry: QueueEntry, state: StoreState, window: Window
    ) -> SnapshotDocument | None:
        """The document of a queue in the state that a connection sees; None before the first checkpoint."""
        if state.as_of is None:
            return None
        today, stamp = self._today(), _stamp(entry, state)
        # Many clients ask together when a queue changed: one of them builds the document, the others wait for it. Those
        # that ask for other queues do not.
        with self._queues.of(entry.queue):
            with self._lock:
                cached = self._documents.get((entry.queue, window))
            if cached is not None and cached[:2] == (entry.revision, today):
                # The queue has not changed since, so its counts are also those of the newer positions.
                return _restamped(cached[2], stamp)
            with self._explained(entry):
                counts = self._count(connection, entry, window_start(window, today))
                built = counts.document(window, stamp, self.rules)
            with self._lock:
                self._documents[entry.queue, window] = (entry.revision, today, built)
        return built

    def build_of_judge(
        self, connection: sqlite3.Connection, entry: QueueEntry, state: StoreState, scope: Scope
    ) -> SnapshotDocument | None:
        """The document of the scope's judge version; None before the first checkpoint."""
        if state.as_of is None:
            return None
        key, stamp = (entry.queue, scope.window, scope.judge), _stamp(entry, state)
        with self._lock:
            cached = self._of_judges.get(key)
        if cached is not None and cached[:2] == (entry.revision, scope.today):
            return _restamped(cached[2], stamp)
        # It reads rows: other documents do not wait for it.
        counts = self.counts(connection, entry, scope.first_day)
        built = document(judge_state(connection, counts, scope), scope.window, stamp, self.rules)
        with self._lock:
            self._of_judges[key] = (entry.revision, scope.today, built)
        return built

    def build_if_possible(
        self, connection: sqlite3.Connection, entry: QueueEntry, state: StoreState, window: Window
    ) -> SnapshotDocument | None:
        """`build`; None also for a document that cannot be computed, which is logged."""
        try:
            return self.build(connection, entry, state, window)
        except DocumentError:
            return None

    def get_if_possible(self, queue: str, window: Window = Window.ALL) -> SnapshotDocument | None:
        """`get`; None also for a document that cannot be computed, which is logged."""
        try:
            return self.get(queue, window)
        except DocumentError:
            return None

    @contextmanager
    def _explained(self, entry: QueueEntry) -> Iterator[None]:
        """Raise DocumentError where a computation fails, and log the reason once for each state of the queue."""
        try:
            yield
        except _IMPOSSIBLE as error:
            why = f"the numbers of queue {entry.queue!r} cannot be computed: {type(error).__name__}: {error}"
            with self._lock:
                known = self._failed.get(entry.queue)
                self._failed[entry.queue] = entry.revision, why
            if known != (entry.revision, why):
                log.exception("%s. Other queues are served. Restart a worker: it checks its tallies", why)
            raise DocumentError(why) from error
        with self._lock:
            self._failed.pop(entry.queue, None)

    def counts(self, connection: sqlite3.Connection, entry: QueueEntry, start: str) -> QueueState:
        """The counts of a queue since a UTC day (ISO text, empty for all days), in the state that a connection sees.

        The counts since the start of every window are read with them, so a queue that changed is read once.
        """
        with self._queues.of(entry.queue), self._explained(entry):
            return self._count(connection, entry, start).states[start]

    def _count(self, connection: sqlite3.Connection, entry: QueueEntry, start: str) -> _QueueCounts:
        today = self._today()
        with self._lock:
            counts = self._counts.get(entry.queue)
        if counts is None or (counts.revision, counts.day) != (entry.revision, today) or start not in counts.states:
            starts = sorted({start, *(window_start(window, today) for window in Window)})
            states = queue_states(connection, entry.queue, starts, self.rules)
            counts = _QueueCounts(entry.revision, today, dict(zip(starts, states, strict=True)))
            with self._lock:
                self._counts[entry.queue] = counts
        return counts


def _stamp(entry: QueueEntry, state: StoreState) -> DocumentStamp:
    assert state.as_of is not None, "there was a checkpoint"
    return DocumentStamp(
        timestamp(state.as_of), entry.revision, state.ledger, state.positions, state.policy, state.rebuilding
    )


def _restamped(document: SnapshotDocument, stamp: DocumentStamp) -> SnapshotDocument:
    copy = document.copy()
    copy["as_of"] = stamp.as_of
    copy["ledger"] = stamp.ledger
    copy["positions"] = {str(partition): stamp.positions[partition] for partition in sorted(stamp.positions)}
    copy["policy"] = stamp.policy
    copy.pop("rebuilding", None)
    if stamp.rebuilding:
        copy["rebuilding"] = stamp.rebuilding
    return copy
