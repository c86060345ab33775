"""The owner indexes of all sources in one SQLite file, with one process that may use it.

What is committed survives a crash of the machine: an id-only deletion finds the record that was answered before it.
"""

import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from aggregator import facts
from sources.intake import rows
from sources.intake.changes import PENDING, IndexChanges, PendingBatch
from sources.intake.former import header, upgrade
from sources.intake.natives import native_bytes, native_text
from sources.ownership import OwnedRecord, OwnedRow
from sources.records import UnruledName
from streams.runtime.directory_lock import DirectoryInUseError, lock_directory
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

SourcePositions = Mapping[str, Mapping[int, int]]
"""Offsets by topic and partition."""

FILE: Final = "sources.sqlite"
"""Name of the file in the data directory."""
_LOCK: Final = "sources.lock"
_VERSION: Final = 3
_SCHEMA: Final = (files("sources.intake") / "schema.sql").read_text(encoding="utf-8") + rows.TABLES
_TAKEN: Final = "taken"
_MAX_VALUES: Final = 20
"""Different values of a name that are kept."""
_MAX_NAMES: Final = 5_000
"""Names and values of a source that are kept."""
_BUSY_SECONDS: Final = 5.0
_REMEDY: Final = "check its disk and free space; a damaged file can be moved away, and is made again from the ledger"
_POSITIONS: Final = "positions"
_HASHED: Final = "hashed"
_OWNED: Final = msgspec.msgpack.Decoder(OwnedRecord)
_UNUSABLE: Final = (sqlite3.OperationalError, sqlite3.IntegrityError)


class IndexInUseError(EvalAlignmentError):
    """Another process uses the owner index."""

    exit_code = ExitCode.INDEX_IN_USE


class IndexUnusableError(EvalAlignmentError):
    """The owner index cannot be opened; the message names the remedy."""

    exit_code = ExitCode.STORE_UNUSABLE


class SeenName(NamedTuple):
    """A name without a rule."""

    unruled: UnruledName
    times: int
    """How often it came with this value."""
    seen: int
    """When it came last, in milliseconds."""


class IndexStore:
    """The owner indexes in a directory. Methods block, and may be called from any thread.

    Args:
        directory: it is created when it does not exist.
        readonly: only read, also while another process has it open; the file must exist.
        command: who uses it, for the error of another process.

    Raises IndexInUseError while another process has it open, IndexUnusableError when it cannot be opened.
    """

    def __init__(self, directory: Path, *, readonly: bool = False, command: str = "ingest") -> None:
        self.path = directory / FILE
        self._using = threading.RLock()
        self._lock: int | None = None
        try:
            if not readonly:
                directory.mkdir(parents=True, exist_ok=True)
                self._lock = lock_directory(directory, command, name=_LOCK)
                # It has names of annotators.
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={'ro' if readonly else 'rw'}",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            self._open(readonly=readonly)
        except DirectoryInUseError as error:
            raise IndexInUseError(
                f"{error}: only one `ingest` may run sources that remember their records (start others with `--sources "
                "none`)"
            ) from None
        except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
            # The last one is a message of SQLite that quotes damaged bytes.
            self._unlock()
            raise IndexUnusableError(f"cannot open {self.path}: {error}; {_REMEDY}") from error
        except BaseException:
            self._unlock()
            raise

    def _open(self, *, readonly: bool) -> None:
        execute = self._connection.execute
        (version,) = execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise IndexUnusableError(
                f"{self.path} was written by a newer release: run that release, or move the file away, and the index "
                "is made again from the ledger"
            )
        if readonly:
            return
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        if 0 < version < _VERSION:
            with self.transaction() as connection, self.decoded():
                upgrade(connection, _SCHEMA, lambda batch: msgspec.msgpack.encode(PENDING.decode(batch).bounded()))
                connection.execute(f"PRAGMA user_version = {_VERSION}")
        self._connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {_VERSION};COMMIT;")

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def close(self) -> None:
        """Close the file, and let another process use it."""
        with self._using:
            self._connection.close()
            self._unlock()

    def index(self, source: str) -> "StoredIndex":
        """The index of the source whose events' ids begin with this prefix."""
        return StoredIndex(source, self)

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises IndexUnusableError."""
        with self._using, self._explained():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All changes in it are committed together, or none is. A transaction in another one is a part of it."""
        connection = self._connection
        with self._using, self._explained():
            if self._connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction, or have left it open.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise IndexUnusableError for what the file or its disk refuses; that may end without a restart."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            # In a damaged file a row may be missing in one table and stand in another.
            if isinstance(error, _UNUSABLE) or type(error) is sqlite3.DatabaseError:
                # What follows is a value, which may have the name of an annotator.
                reason = str(error).partition(" with text ")[0]
                raise IndexUnusableError(f"cannot use {self.path}: {reason}; {_REMEDY}") from error
            raise

    @contextmanager
    def decoded(self) -> Iterator[None]:
        """Raise IndexUnusableError for a value that no release writes: the file is damaged where SQLite sees nothing.

        The process would end otherwise, for whoever sends to it, and again at each start.
        """
        try:
            yield
        except (msgspec.DecodeError, AttributeError, TypeError, ValueError) as error:
            kind = type(error).__name__
            raise IndexUnusableError(f"cannot use {self.path}: a value in it is damaged ({kind}); {_REMEDY}") from error


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """What the records of one source stated last, as committed."""

    source: str
    store: IndexStore

    def get(self, native: str) -> OwnedRecord | None:
        """What a record stated last; None for one that was never seen."""
        found = self.store.read(
            "SELECT records.owned, rows.key, rows.value, rows.part FROM records "
            "LEFT JOIN rows ON rows.source = records.source AND rows.native = records.native "
            "WHERE records.source = ? AND records.native = ?",
            self.source,
            native_bytes(native),
        )
        if not found:
            return None
        with self.store.decoded():
            owned = tuple(_whole(OwnedRow(key, value, part)) for _, key, value, part in found if key is not None)
            return msgspec.structs.replace(_OWNED.decode(found[0][0]), rows=owned)

    def row(self, native: str, key: bytes) -> OwnedRow | None:
        """The row of a record with this key, if it has one."""
        found = rows.find(self.store.read, self.source, native_bytes(native), key)
        with self.store.decoded():
            return None if found is None else _whole(found)

    def holders(self, identity: bytes) -> Collection[str]:
        """The records that have a row of this identity."""
        sql = "SELECT DISTINCT native FROM holders WHERE source = ? AND identity = ?"
        return self._natives(self.store.read(sql, self.source, identity))

    def _natives(self, names: Iterable[tuple[bytes]]) -> list[str]:
        with self.store.decoded():
            return [native_text(native) for (native,) in names]

    def deleted_at(self, identity: bytes) -> int:
        """The latest deletion of an identity in milliseconds; -1 if it was never deleted."""
        found = self.store.read("SELECT at FROM deletions WHERE source = ? AND identity = ?", self.source, identity)
        return next((at for (at,) in found), -1)

    def natives(self) -> Collection[str]:
        """All records that were seen."""
        return self._natives(self.store.read("SELECT native FROM records WHERE source = ?", self.source))

    def unseen(self, stream: str, since: int | None) -> Collection[str]:
        """The records of a stream that are not noted as seen.

        Args:
            stream: the kind of records.
            since: those that the tool lists at or after a time in milliseconds; None: all.
        """
        sql = (
            "SELECT native FROM records WHERE source = ?1 AND stream = ?2 AND NOT EXISTS "
            "(SELECT 1 FROM seen WHERE source = ?1 AND stream = ?2 AND native = records.native)"
        )
        rows = (
            self.store.read(sql, self.source, stream)
            if since is None
            else self.store.read(f"{sql} AND listed >= ?3", self.source, stream, since)
        )
        return self._natives(rows)

    def unlisted(self, before: int) -> Collection[str]:
        """The records that state something, and that no list of the tool is known to have.

        Args:
            before: those that were pushed later are left out, in milliseconds.
        """
        rows = self.store.read(
            "SELECT native FROM records WHERE source = ?1 AND stream = '' AND (listed IS NULL OR listed < ?2) "
            "AND EXISTS (SELECT 1 FROM rows WHERE source = ?1 AND native = records.native)",
            self.source,
            before,
        )
        return self._natives(rows)

    def positions(self) -> SourcePositions | None:
        """Up to where the index has what the source's events state; None for an index that is not made yet."""
        kept = self.state(_POSITIONS)
        with self.store.decoded():
            return None if kept is None else {topic: dict(offsets) for topic, offsets in kept}

    def hashed_parts(self) -> Collection[str] | None:
        """What the parts of records may be that are kept under the hashed names of their events; None without such."""
        parts: list[str] | None = self.state(_HASHED)
        return parts

    def advance(self, positions: SourcePositions) -> None:
        """Keep up to where the index has what the source's events state."""
        self.keep(_POSITIONS, [(topic, list(offsets.items())) for topic, offsets in positions.items()])

    def rebuild(self, changes: IndexChanges, hashed: Collection[str] | None, positions: SourcePositions) -> None:
        """Remember what records stated by their events, all or nothing.

        Args:
            changes: of records, and deletions.
            hashed: what the parts of records under hashed names may be; None without such.
            positions: up to where the events were read.
        """
        with self.store.transaction() as connection:
            self._remember(connection, [(native_bytes(name), owned) for name, owned in changes.records.items()])
            self._delete(connection, changes.deletions.items())
            if (batch := self.pending()) is not None:
                # The changes have what its events state. They are sent again all the same.
                events = msgspec.structs.replace(batch, records=[], deletions=[], restated=[])
                connection.execute(
                    "UPDATE outbox SET batch = ? WHERE source = ?", (msgspec.msgpack.encode(events), self.source)
                )
            if hashed is not None:
                self.keep(_HASHED, sorted({*hashed, *(self.hashed_parts() or ())}))
            self.advance(positions)

    def totals(self) -> Mapping[str, int]:
        """How many results of each kind the source has had."""
        return dict(self.store.read("SELECT result, count FROM totals WHERE source = ?", self.source))

    def size(self) -> int:
        """How many records are remembered."""
        rows = self.store.read("SELECT count(*) FROM records WHERE source = ?", self.source)
        return sum(count for (count,) in rows)

    def taken_at(self) -> int:
        """When records came last, in milliseconds; -1 if none ever came."""
        return int(self.state(_TAKEN) or -1)

    def names(self) -> Sequence["SeenName"]:
        """The names without a rule, with some of their values."""
        rows = self.store.read(
            "SELECT role, name, value, count, seen FROM names WHERE source = ? ORDER BY name, role, value", self.source
        )
        return [SeenName(UnruledName(role, name, value), count, seen) for role, name, value, count, seen in rows]

    def state(self, name: str) -> Any:
        """A value that was kept under this name; None for none."""
        rows = self.store.read("SELECT value FROM states WHERE source = ? AND name = ?", self.source, name)
        with self.store.decoded():
            return next((msgspec.json.decode(value) for (value,) in rows), None)

    def keep(self, name: str, value: Any) -> None:
        """Keep a value of JSON under a name."""
        with self.store.transaction() as connection:
            self._keep(connection, name, value)

    def _keep(self, connection: sqlite3.Connection, name: str, value: Any) -> None:
        connection.execute(
            "INSERT INTO states VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            (self.source, name, msgspec.json.encode(value).decode()),
        )

    def pending(self) -> PendingBatch | None:
        """The batch that was prepared and not committed; None for none."""
        rows = self.store.read("SELECT batch FROM outbox WHERE source = ?", self.source)
        with self.store.decoded():
            batch = next((PENDING.decode(batch) for (batch,) in rows), None)
            for key, value in () if batch is None else batch.events:
                facts.parse(key, value)
        return batch

    def prepare(self, batch: PendingBatch) -> None:
        """Remember a batch before its events are sent: they may arrive without an acknowledgement."""
        with self.store.transaction() as connection:
            connection.execute("INSERT INTO outbox VALUES (?, ?)", (self.source, msgspec.msgpack.encode(batch)))

    def commit(self, batch: PendingBatch) -> None:
        """Remember what records stated, once the broker has their events."""
        with self.store.transaction() as connection:
            self._remember(connection, batch.records)
            for native, restated in batch.restated:
                self._restate(connection, native, restated)
            self._delete(connection, batch.deletions)
            connection.executemany(
                "UPDATE records SET stream = ?1, listed = ?2 WHERE source = ?3 AND native = ?4 "
                # A record that is pushed may be in a list; one that is retracted is in none.
                "AND (stream = '' OR ?1 != '' OR ?2 IS NULL) AND (stream IS NOT ?1 OR listed IS NOT ?2)",
                [(batch.stream, batch.listed, self.source, native) for native in batch.seen],
            )
            connection.executemany(
                "INSERT INTO totals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                [(self.source, result, count) for result, count in batch.totals.items()],
            )
            for name, count in batch.unruled:
                self._put_name(connection, name, count, batch.at)
            if batch.at:
                self._keep(connection, _TAKEN, batch.at)
            connection.execute("DELETE FROM outbox WHERE source = ?", (self.source,))

    def _remember(self, connection: sqlite3.Connection, records: Iterable[tuple[bytes, OwnedRecord]]) -> None:
        for native, owned in records:
            self._put(connection, native, owned)

    def _delete(self, connection: sqlite3.Connection, deletions: Iterable[tuple[bytes, int]]) -> None:
        connection.executemany(
            "INSERT INTO deletions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
            [(self.source, identity, at) for identity, at in deletions],
        )

    def _put(self, connection: sqlite3.Connection, name: bytes, owned: OwnedRecord) -> None:
        before = self.get(native_text(name))
        rows.replace(connection, self.source, name, () if before is None else before.rows, owned.rows)
        self._put_header(connection, name, owned)

    def _restate(self, connection: sqlite3.Connection, name: bytes, later: Sequence[OwnedRow]) -> None:
        """Note rows of a record at later times, without a look at its others."""
        rows.restate(connection, self.source, name, later)
        sql = "SELECT owned FROM records WHERE source = ? AND native = ?"
        for (value,) in connection.execute(sql, (self.source, name)).fetchall():
            owned = _OWNED.decode(value)
            latest = max(owned.at or 0, *(row.fact.at for row in later))
            self._put_header(connection, name, msgspec.structs.replace(owned, at=latest))

    def _put_header(self, connection: sqlite3.Connection, name: bytes, owned: OwnedRecord) -> None:
        connection.execute(
            "INSERT INTO records (source, native, stream, owned) VALUES (?, ?, '', ?) "
            "ON CONFLICT DO UPDATE SET owned = excluded.owned",
            (self.source, name, header(owned)),
        )

    def _put_name(self, connection: sqlite3.Connection, unruled: UnruledName, count: int, at: int) -> None:
        role, name, value = unruled
        key = (self.source, role, name)
        updated = connection.execute(
            "UPDATE names SET count = count + ?, seen = max(seen, ?) "
            "WHERE source = ? AND role = ? AND name = ? AND value = ?",
            (count, at, *key, value),
        )
        if updated.rowcount:
            return
        sql = "SELECT count(*) FROM names WHERE source = ? AND role = ? AND name = ?"
        (values,) = connection.execute(sql, key).fetchone()
        (names,) = connection.execute("SELECT count(*) FROM names WHERE source = ?", (self.source,)).fetchone()
        if values < _MAX_VALUES and names < _MAX_NAMES:
            connection.execute("INSERT INTO names VALUES (?, ?, ?, ?, ?, ?)", (*key, value, count, at))


def _whole(row: OwnedRow) -> OwnedRow:
    """The row. Raises ValueError for one that has no fact."""
    facts.parse(row.key, row.value)
    return row
