"""Snapshot documents from the store, made when asked for and kept while nothing of them changed."""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final, TypeVar

from aggregator.days import Window, timestamp, window_start
from aggregator.policy import Policy
from aggregator.snapshot.build import document
from aggregator.snapshot.inputs import CountingRules, DocumentStamp, QueueState
from aggregator.snapshot.schema import SnapshotDocument
from sinks.queries.counts import queue_states
from sinks.store.store import Store

_K = TypeVar("_K")
_V = TypeVar("_V")

_KEPT: Final = 2_000
"""Documents in memory; the least recently made go first."""
_COUNTED: Final = 16
"""Queues whose counts are in memory, for the documents of their other windows."""

_QUEUES: Final = """
SELECT id, queue, revision FROM queues AS q WHERE (
    EXISTS (SELECT 1 FROM annotations AS a WHERE a.queue = q.queue)
    OR EXISTS (SELECT 1 FROM queue_items AS i WHERE i.queue = q.queue))
"""


@dataclass(frozen=True, slots=True)
class State:
    """Which state of the topics the store holds. `as_of` is the oldest partition's last `closed`, in ms; None
    when no partition has one.
    """

    as_of: int | None
    ledger: str
    positions: dict[int, int]
    policy: Policy


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A queue: its place in the order in which queues were first seen, its name, and the revision of its
    documents.
    """

    place: int
    queue: str
    revision: int


def read_state(connection: sqlite3.Connection) -> State:
    """The state that a connection sees."""
    rows = connection.execute(
        "SELECT partition, ledger, position, policy, at FROM partitions WHERE ledger IS NOT NULL ORDER BY at"
    ).fetchall()
    return State(
        as_of=rows[0][4] if rows else None,
        # One id in a healthy installation; several while a rebuild is half-way.
        ledger="+".join(sorted({row[1] for row in rows})),
        positions={row[0]: row[2] for row in rows},
        policy=Policy(rows[-1][3]) if rows else Policy.EACH,
    )


@dataclass(slots=True)
class _Counted:
    """A queue's counts since several UTC days, and the documents that were made of them, by the counts' identity."""

    revision: int
    day: date
    states: dict[str, QueueState]
    made: dict[int, SnapshotDocument] = field(default_factory=dict)

    def document(self, window: Window, stamp: DocumentStamp, rules: CountingRules) -> SnapshotDocument:
        """The document of a window. Where windows have the same counts, as all of a young queue, it is made once."""
        state = self.states[window_start(window, self.day)]
        made = self.made.get(id(state))
        if made is None:
            made = self.made[id(state)] = document(state, window, stamp, rules)
            return made
        same = _restamped(made, stamp)
        same["window"] = window
        return same


class Documents:
    """Documents of every queue and window. Methods block and may be called from any thread.

    Args:
        store: where the counts are.
        reading: how counts are read.
        today: gives the UTC day on which windows end.
    """

    def __init__(self, store: Store, rules: CountingRules, today: Callable[[], date]) -> None:
        self.rules = rules
        self._store = store
        self._today = today
        self._kept: OrderedDict[tuple[str, Window], tuple[int, date, SnapshotDocument]] = OrderedDict()
        self._counted: OrderedDict[str, _Counted] = OrderedDict()
        self._lock = threading.RLock()

    def queues(self, connection: sqlite3.Connection, after: int = 0, limit: int = -1) -> Iterator[QueueEntry]:
        """Queues that a row names, in the order in which they were first seen, from behind `after` on."""
        for row in connection.execute(f"{_QUEUES} AND id > ? ORDER BY id LIMIT ?", (after, limit)):
            yield QueueEntry(*row)

    def entry(self, connection: sqlite3.Connection, queue: str) -> QueueEntry | None:
        """A queue by its name; None when no row names it."""
        found = connection.execute(f"{_QUEUES} AND queue = ?", (queue,)).fetchone()
        return None if found is None else QueueEntry(*found)

    def exists(self, queue: str) -> bool:
        """Whether a row names the queue."""
        with self._store.read() as connection:
            return self.entry(connection, queue) is not None

    def get(self, queue: str, window: Window = Window.ALL) -> SnapshotDocument | None:
        """The current document of a queue; None when no row names the queue."""
        with self._store.read() as connection:
            entry = self.entry(connection, queue)
            return None if entry is None else self.make(connection, entry, read_state(connection), window)

    def made(self, queue: str) -> SnapshotDocument | None:
        """The document of a queue that was made last today, of whatever state; None when there is none in memory."""
        with self._lock:
            kept = self._kept.get((queue, Window.ALL))
        return kept[2] if kept is not None and kept[1] == self._today() else None

    def make(
        self, connection: sqlite3.Connection, entry: QueueEntry, state: State, window: Window
    ) -> SnapshotDocument | None:
        """The document of a queue in the state that a connection sees; None before the first `closed` of
        all.
        """
        if state.as_of is None:
            return None
        today = self._today()
        stamp = DocumentStamp(timestamp(state.as_of), entry.revision, state.ledger, state.positions, state.policy)
        # Many clients of one queue ask at once when it changed: one of them makes the document.
        with self._lock:
            kept = self._kept.get((entry.queue, window))
            if kept is not None and kept[:2] == (entry.revision, today):
                # Nothing of this queue changed since: the same counts hold at the newer positions.
                return _restamped(kept[2], stamp)
            counted = self._count(connection, entry, window_start(window, today))
            made = counted.document(window, stamp, self.rules)
            _keep(self._kept, (entry.queue, window), (entry.revision, today, made), _KEPT)
        return made

    def counts(self, connection: sqlite3.Connection, entry: QueueEntry, start: str) -> QueueState:
        """The counts of a queue since a UTC day (ISO text, empty for all days), in the state that a connection sees.

        Those since the start of every window are read with them: a queue that changed is read once.
        """
        with self._lock:
            return self._count(connection, entry, start).states[start]

    def _count(self, connection: sqlite3.Connection, entry: QueueEntry, start: str) -> _Counted:
        today = self._today()
        kept = self._counted.get(entry.queue)
        if kept is None or (kept.revision, kept.day) != (entry.revision, today) or start not in kept.states:
            starts = sorted({start, *(window_start(window, today) for window in Window)})
            states = queue_states(connection, entry.queue, starts, self.rules)
            kept = _Counted(entry.revision, today, dict(zip(starts, states, strict=True)))
            _keep(self._counted, entry.queue, kept, _COUNTED)
        return kept


def _keep(cache: OrderedDict[_K, _V], key: _K, value: _V, most: int) -> None:
    cache[key] = value
    cache.move_to_end(key)
    while len(cache) > most:
        cache.popitem(last=False)


def _restamped(made: SnapshotDocument, stamp: DocumentStamp) -> SnapshotDocument:
    fresh = made.copy()
    fresh["as_of"] = stamp.as_of
    fresh["ledger"] = stamp.ledger
    fresh["positions"] = {str(partition): stamp.positions[partition] for partition in sorted(stamp.positions)}
    fresh["policy"] = stamp.policy
    return fresh
