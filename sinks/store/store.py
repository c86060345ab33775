"""The view's read model in one SQLite file: rows, tallies, positions and snapshots.

It has one writer and many readers (WAL). `apply` puts everything of one or more checkpoint markers into one
transaction, so a reader sees all of it or nothing, also after a crash. While the disk is full or the store is locked,
`apply` raises, nothing changes, and readers continue with the last good state; the same call succeeds later.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import queue as queues
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from aggregator.facts import Fact
from aggregator.tallies import TallyKey, WaitingState
from sinks.queries.judge_versions import judged_metrics, judges_in_use
from sinks.queries.queues import count_rebuilding
from sinks.store import derive, merge, search_index
from sinks.store.damage import StoreDamagedError, StoreGoneError, is_damage
from sinks.store.schema import StoreError, migrate
from sinks.store.tail import LedgerRow, Step

BUSY_SECONDS: Final = 2.0
"""Time that a statement waits for another process that has locked the store, before it fails."""

_JOURNAL_BYTES: Final = 64 << 20
"""Size to which the write-ahead log is truncated after a catch-up."""

_JOURNAL_PAGES: Final = 4096
"""Pages in the write-ahead log from which they are moved into the store. Items arrive in no order, so a page changes
often: the longer the log, the fewer pages are moved twice, and the longer the commit that moves them takes (0.1 s).
"""

_CACHE_KIB: Final = 8 << 10
"""Page cache of the writer. A larger one is not faster with 300,000 facts, because the system caches the file too."""

_NAMES: Final = {"cells": ("criterion", "metric"), "annotations": ("criterion",), "evaluations": ("metric",)}


@dataclass(frozen=True, slots=True)
class PartitionState:
    """The stored state of a partition. Its optional fields are None before the first marker."""

    partition: int
    ledger: str | None
    """Id of the ledger."""
    position: int | None
    """Ledger offset up to which the partition is counted."""
    policy: str | None
    at: int | None
    """Time of the last marker in ms."""
    facts_next: int
    """The next ledger offset to read."""
    tallies_next: int
    """The next offset of the tallies to read."""


class ForeignWriteError(StoreError):
    """Another process has written to the store since this one read or wrote it; nothing of this write is applied.

    The lock of the data directory prevents that (`sinks.store.lock`), except where a file system has no such locks, or
    a former release runs. A writer that went on from its own memory would replace new counts by old ones.
    """


class Store:
    """A store in a file. Methods block and may be called from any thread.

    Args:
        path: the file; it is created when it does not exist, its directory must exist.
        readonly: only read, for a second process; the file must exist and have this release's version.

    Raises StoreError when the file cannot be opened or was written by a later release. Every method raises
    StoreDamagedError when it finds that the file is damaged.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        self._readers: queues.LifoQueue[sqlite3.Connection] = queues.LifoQueue()
        self._writer: sqlite3.Connection | None = None
        self._writing = threading.RLock()
        self._closed = False
        self._file: tuple[int, int] | None = None
        """Device and inode of the file that the writer has open."""
        self._judges: dict[str, str] = {}
        """The judge version in use of each metric, as this process has read or left them."""
        self.on_damage: Callable[[StoreDamagedError], None] = lambda _: None
        """Called, in any thread, when a statement finds that the file is damaged, or a reader that it is gone."""
        self._left: dict[int, PartitionState] = {}
        """The partitions as this process has read or left them: every write goes on from there."""
        try:
            if readonly:
                self._readers.put(self._connect(readonly=True))
                return
            self._writer = self._connect()
            self._writer.execute("PRAGMA journal_mode = WAL")
            # A commit is on the disk when it returns: with the embedded broker this store is the only durable copy of
            # the events.
            self._writer.execute("PRAGMA synchronous = FULL")
            self._writer.execute("PRAGMA temp_store = MEMORY")
            self._writer.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
            self._writer.execute(f"PRAGMA wal_autocheckpoint = {_JOURNAL_PAGES}")
            self._writer.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            migrate(self._writer)
            self._file = _file_at(path)
            self._writer.executescript(derive.TEMPORARY)
            in_use = judges_in_use(self._writer, [*judged_metrics(self._writer)])
            self._judges = {metric: period.judge for metric, period in in_use.items()}
            self._left = _partitions(self._writer)
        except sqlite3.Error as error:
            self.close()
            kind = StoreDamagedError if is_damage(error) else StoreError
            raise kind(f"cannot open the store {path}: {error}") from error
        except StoreError:
            self.close()
            raise

    def _connect(self, *, readonly: bool = False) -> sqlite3.Connection:
        mode = "ro" if readonly else "rwc"
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    def close_idle(self) -> None:
        """Close the connections that no thread reads with. Each caches pages, and peak load may have opened many."""
        with suppress(queues.Empty):
            while True:
                self._readers.get_nowait().close()

    def close(self) -> None:
        """Close all connections, those that are being read with as soon as their reader ends.

        The store must not be used afterwards.
        """
        self._closed = True
        self.close_idle()
        if self._writer is not None:
            self._writer.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection on which all statements see the same state."""
        try:
            connection = self._readers.get_nowait()
        except queues.Empty:
            self._expect_file()
            connection = self._connect(readonly=True)
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.DatabaseError as error:
            self._raise_damage(error)
            raise
        finally:
            if connection.in_transaction:
                connection.rollback()
            self._readers.put(connection)
            if self._closed:
                self.close_idle()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """The writing connection in a transaction that is committed as a whole or not at all; other threads wait."""
        if self._writer is None:
            raise StoreError("the store is open for reading only")
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException as error:
                if self._writer.in_transaction:
                    with suppress(sqlite3.DatabaseError):
                        self._writer.rollback()
                if isinstance(error, sqlite3.DatabaseError):
                    self._raise_damage(error)
                raise

    def _expect_file(self) -> None:
        """Raise StoreGoneError when the path no longer leads to the file that the writer has open.

        The writer would go on in a file that nobody else can open, and readers could never follow.
        """
        # A disk that cannot be looked at may come back; SQLite's own error follows.
        with suppress(OSError):
            if self._file is not None and _file_at(self.path) != self._file:
                gone = StoreGoneError(f"the store {self.path} is gone")
                self.on_damage(gone)
                raise gone

    def _raise_damage(self, error: sqlite3.DatabaseError) -> None:
        """Call `on_damage` and raise StoreDamagedError when the error of a statement shows that the file is damaged."""
        if is_damage(error):
            damaged = StoreDamagedError(f"the store {self.path} is damaged: {error}")
            self.on_damage(damaged)
            raise damaged from error

    @contextmanager
    def _going_on(self) -> Iterator[sqlite3.Connection]:
        """`write`, for what goes on from the stored positions.

        Raises ForeignWriteError when another process moved them.
        """
        # Another thread must not write between the commit and the note of what it left.
        with self._writing:
            with self.write() as connection:
                stored = _partitions(connection)
                if stored != self._left:
                    moved = sorted(p for p in stored.keys() | self._left.keys() if stored.get(p) != self._left.get(p))
                    raise ForeignWriteError(
                        f"another process has written partitions {moved} of the store {self.path}: run one view for "
                        "each data directory"
                    )
                yield connection
                left = _partitions(connection)
            self._left = left

    def partitions(self) -> dict[int, PartitionState]:
        """The stored state of each partition."""
        with self.read() as connection:
            return _partitions(connection)

    def resume(self) -> dict[int, PartitionState]:
        """The stored state of each partition, from which this process goes on, whoever wrote it."""
        with self._writing:
            self._left = self.partitions()
            return dict(self._left)

    def spool(self, partition: int, rows: Sequence[LedgerRow]) -> None:
        """Store ledger rows that wait for their marker; they are invisible until then. Raises ForeignWriteError."""
        with self._going_on() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?)",
                ((partition, row.position, row.key, row.value) for row in rows),
            )
            connection.execute(
                "INSERT INTO partitions (partition, facts_next, tallies_next) VALUES (?1, ?2, 0) "
                "ON CONFLICT (partition) DO UPDATE SET facts_next = ?2",
                (partition, rows[-1].position + 1),
            )

    def forget_pending(self, partition: int) -> None:
        """Delete the waiting ledger rows of a partition, which will be read again. Raises ForeignWriteError."""
        with self._going_on() as connection:
            connection.execute("DELETE FROM pending WHERE partition = ?", (partition,))
            # A process that ends before it has read them again must not skip them.
            connection.execute(
                "UPDATE partitions SET facts_next = coalesce(position, 0) WHERE partition = ?", (partition,)
            )

    def apply(
        self, steps: Sequence[Step], partitions: int, on_invalid: merge.OnInvalid = merge.refuse_invalid
    ) -> set[str]:
        """Apply steps in one transaction; returns the queues whose documents may have changed.

        `partitions` is the number of partitions of the topics: rows of a former ledger in other partitions are deleted.
        Raises ForeignWriteError.
        """
        changed: set[str] = set()
        with self._going_on() as connection:
            rebuilding = count_rebuilding(connection) > 0
            # Delete rows of a former log before any new row arrives: an item may have moved to another partition.
            for step in steps:
                changed |= _begin(connection, step, partitions)
            for step in steps:
                changed |= _fold(connection, step, on_invalid)
            metrics = [metric for (metric,) in connection.execute("SELECT DISTINCT metric FROM touched_judges")]
            derive.derive(connection)
            if (count_rebuilding(connection) > 0) != rebuilding:
                # Every document states it.
                changed |= {queue for (queue,) in connection.execute("SELECT queue FROM queues")}
            judges = {metric: period.judge for metric, period in judges_in_use(connection, metrics).items()}
            changed |= _judged_by_others(connection, self._judges, judges)
            connection.executemany(
                "INSERT INTO queues (queue, revision) VALUES (?, 1) "
                "ON CONFLICT (queue) DO UPDATE SET revision = revision + 1",
                ((queue,) for queue in sorted(changed)),
            )
        for metric in metrics:
            self._judges.pop(metric, None)
        self._judges |= judges
        return changed

    def write_search_documents(self) -> bool:
        """Make some items whose texts changed searchable, in one transaction; returns whether more are left."""
        with self.write() as connection:
            return search_index.write_documents(connection)

    def facts(self, queue: str | None = None) -> Iterator[Fact]:
        """The current rows of one state as facts, including deletions and failures; loading them restores the state.

        With a queue: its annotations and queue items, and the evaluations of their items.
        """
        with self.read() as connection:
            yield from merge.facts_of(connection, queue)

    def readable_facts(self, on_gap: Callable[[str], None]) -> Iterator[Fact]:
        """`facts` of a store whose file may be damaged, as far as it can be read.

        `on_gap` is called with the name of the table for each place whose rows are left out.
        """
        with self.read() as connection:
            yield from merge.readable_facts(connection, on_gap)


def _file_at(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None when it does not exist. Raises OSError when that cannot be known."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _partitions(connection: sqlite3.Connection) -> dict[int, PartitionState]:
    rows = connection.execute(
        "SELECT partition, ledger, position, policy, at, facts_next, tallies_next FROM partitions"
    )
    return {row[0]: PartitionState(*row) for row in rows}


def _begin(connection: sqlite3.Connection, step: Step, partitions: int) -> set[str]:
    row = connection.execute("SELECT ledger, policy FROM partitions WHERE partition = ?", (step.partition,)).fetchone()
    ledger, policy = row or (None, None)
    changed: set[str] = set()
    if step.replaces_rows:
        changed = _queues(connection, "= ?", step.partition) | _queues(connection, ">= ?", partitions)
        merge.drop_rows(connection, "= ?", step.partition)
        merge.drop_rows(connection, ">= ?", partitions)
        connection.execute(
            "INSERT OR IGNORE INTO touched_judges SELECT metric, judge FROM waiting_judges WHERE partition >= ?",
            (partitions,),
        )
        for table in ("tallies", "partitions", "pending", "waiting_judges"):
            connection.execute(f"DELETE FROM {table} WHERE partition >= ?", (partitions,))
    if ledger is not None and ledger != step.marker["ledger"]:
        changed |= _queues(connection, "= ?", step.partition)
        connection.execute("DELETE FROM tallies WHERE partition = ?", (step.partition,))
    if policy is not None and policy != step.marker["policy"]:
        changed |= _queues(connection, "= ?", step.partition)
        merge.touch_annotations(connection, step.partition)
    return changed


def _judged_by_others(connection: sqlite3.Connection, before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    """Queues with comparisons of a metric whose judge version in use has changed: their gate decides again."""
    metrics = [metric for metric, judge in after.items() if before.get(metric, judge) != judge]
    rows = connection.execute(
        "SELECT DISTINCT queue FROM tallies WHERE kind = 'cells' AND metric IN (SELECT value FROM json_each(?))",
        (orjson.dumps(metrics).decode(),),
    )
    return {queue for (queue,) in rows} if metrics else set()


def _queues(connection: sqlite3.Connection, condition: str, value: int) -> set[str]:
    rows = connection.execute(
        f"SELECT DISTINCT queue FROM annotations WHERE partition {condition} "
        f"UNION SELECT DISTINCT queue FROM queue_items WHERE partition {condition} "
        f"UNION SELECT DISTINCT queue FROM tallies WHERE partition {condition}",
        (value, value, value),
    )
    return {queue for (queue,) in rows}


def _fold(connection: sqlite3.Connection, step: Step, on_invalid: merge.OnInvalid) -> set[str]:
    marker, below = step.marker, (step.partition, step.marker["position"])
    spooled = connection.execute(
        "SELECT key, value FROM pending WHERE partition = ? AND position < ? ORDER BY position", below
    )
    changed = merge.merge(connection, step.partition, spooled, on_invalid)
    connection.execute("DELETE FROM pending WHERE partition = ? AND position < ?", below)
    changed |= merge.merge(connection, step.partition, ((row.key, row.value) for row in step.facts), on_invalid)
    connection.executemany(
        "INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((*_columns(key), step.partition, tally.position, tally.payload) for key, tally in step.tallies.items()),
    )
    (waiting,) = connection.execute(
        "SELECT max(position) FROM pending WHERE partition = ?", (step.partition,)
    ).fetchone()
    facts_next = marker["position"] if waiting is None else waiting + 1
    connection.execute(
        "INSERT OR REPLACE INTO partitions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            step.partition, marker["ledger"], marker["position"], marker["policy"], step.complete,
            orjson.dumps(marker["sources"]).decode(), facts_next, step.tallies_next,
            _report(connection, step.partition, marker.get("waiting")),
        ),
    )  # fmt: skip
    return changed | {key.group[1] for key in step.tallies}


def _report(connection: sqlite3.Connection, partition: int, waiting: WaitingState | None) -> str | None:
    """Store the judge versions of what waits in a partition; returns the rest for its row in `partitions`."""
    judges = {} if waiting is None else {(metric, judge): rest for metric, judge, *rest in waiting["judges"]}
    columns = "metric, judge, first_at, last_at, verdicts"
    rows = connection.execute(f"SELECT {columns} FROM waiting_judges WHERE partition = ?", (partition,))
    known = {(metric, judge): rest for metric, judge, *rest in rows}
    # Markers repeat it, and most of them change nothing.
    if known != judges:
        connection.executemany("INSERT OR IGNORE INTO touched_judges VALUES (?, ?)", known.keys() | judges.keys())
        connection.execute("DELETE FROM waiting_judges WHERE partition = ?", (partition,))
        connection.executemany(
            f"INSERT INTO waiting_judges (partition, {columns}) VALUES (?, ?, ?, ?, ?, ?)",
            ((partition, *version, *rest) for version, rest in judges.items()),
        )
    if waiting is None:
        return None
    return orjson.dumps({name: value for name, value in waiting.items() if name != "judges"}).decode()


def _columns(key: TallyKey) -> tuple[str, str, str, str, str, int]:
    """A key as (queue, kind, criterion, metric, day, part)."""
    kind, queue, *names, day = key.group
    named = dict(zip(_NAMES[kind], names, strict=True))
    return queue, kind, named.get("criterion", ""), named.get("metric", ""), day, key.part
