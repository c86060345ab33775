"""An owner index whose changes are committed when the broker has their events."""

from collections import deque
from collections.abc import Collection, Container
from dataclasses import dataclass, field
from typing import Final

from sources.intake.holders import RankedRecord, ranked
from sources.intake.store import IndexChanges, StoredIndex
from sources.ownership import HeldRow, HeldRows, OwnedRecord, OwnedRow, event_name

_FIRST_PAGE: Final = 2
"""Rows of an identity that are read at first: most have one. Each further page has twice as many as the one before."""


class StagedIndex:
    """Reads through to the committed index, and collects changes.

    Args:
        committed: is not changed.
    """

    def __init__(self, committed: StoredIndex) -> None:
        self.changes = IndexChanges()
        self._committed = committed
        self._held = HeldRows()
        """The rows of the changed records."""
        self._unchanged: dict[bytes, _CommittedRows] = {}
        self._rows: dict[str, dict[bytes, list[OwnedRow]]] = {}
        """Rows of records that are not changed, by record and identity, as far as they were asked for."""
        self._parts = committed.hashed_parts()

    def get(self, native: str) -> OwnedRecord | None:
        """What a record stated last; None for one that was never seen."""
        known = self.changes.records.get(native) or self._committed.get(native)
        return self._claimed(native) if known is None and self._parts is not None else known

    def _claimed(self, native: str) -> OwnedRecord | None:
        """A record that was made again from its events, under their names because its own is hashed in them."""
        claimed: OwnedRecord | None = None
        for part in ("", *(self._parts or ())):
            name, plain = event_name(self._committed.source, native, part), f"{native}/{part}" if part else native
            found = None if name == plain else self.changes.records.get(name) or self._committed.get(name)
            if found is None or not found.recovered:
                continue
            rows = (*(claimed or OwnedRecord()).rows, *(OwnedRow(row.key, row.value, part) for row in found.rows))
            at = max((row.fact.at for row in rows), default=None)
            versions = [each.version for each in (claimed, found) if each is not None and each.version is not None]
            claimed = OwnedRecord(min(versions, default=None), at, rows, recovered=True)
            self.put(name, OwnedRecord())
        if claimed is not None:
            self.put(native, claimed)
        return claimed

    def put(self, native: str, owned: OwnedRecord) -> None:
        """Remember what a record stated."""
        before = self.changes.records.get(native, OwnedRecord())
        self._held.replace(native, before.rows, owned.rows)
        self.changes.records[native] = owned

    def natives(self) -> Collection[str]:
        """All records that were seen."""
        return {*self._committed.natives(), *self.changes.records}

    def best_other(self, identity: bytes, native: str) -> HeldRow | None:
        """The row of the greatest rank that a record other than this one has of an identity; None if none has one."""
        rows = self._unchanged.setdefault(identity, _CommittedRows(self._committed, identity))
        committed = rows.best_other(native, self.changes.records)
        found = [self._held.best_other(identity, native), None if committed is None else self._row(identity, committed)]
        return min((held for held in found if held is not None), default=None)

    def _row(self, identity: bytes, committed: RankedRecord) -> HeldRow:
        """The row of a record that is not changed. A record may have any number of rows, so it is read once."""
        rank, native = committed
        if (rows := self._rows.get(native)) is None:
            rows = self._rows[native] = {}
            for row in (self._committed.get(native) or OwnedRecord()).rows:
                rows.setdefault(row.identity, []).append(row)
        return next(HeldRow(rank, native, row) for row in rows[identity] if row.rank == rank)

    def deleted_at(self, identity: bytes) -> int:
        """The latest deletion of an identity in milliseconds; -1 if it was never deleted."""
        return max(self.changes.deletions.get(identity, -1), self._committed.deleted_at(identity))

    def delete(self, identity: bytes, at: int) -> None:
        """Remember the deletion of an identity."""
        self.changes.deletions[identity] = max(at, self.changes.deletions.get(identity, -1))


@dataclass(slots=True)
class _CommittedRows:
    """The committed rows of one identity, of records that are not changed, the greatest rank first.

    Changes of a record are never undone, so a row of a changed record is passed once and for all.
    """

    index: StoredIndex
    identity: bytes
    _left: deque[RankedRecord] = field(default_factory=deque)
    """Those that are read and not passed."""
    _last: RankedRecord | None = None
    _page: int = _FIRST_PAGE
    """How many are read next; 0 after all were read."""

    def best_other(self, native: str, changed: Container[str]) -> RankedRecord | None:
        """The first of another record than this one."""
        while (first := self._at(0)) is not None and first.native in changed:
            self._left.popleft()
        place = 0
        while (found := self._at(place)) is not None and (found.native == native or found.native in changed):
            place += 1
        return found

    def _at(self, place: int) -> RankedRecord | None:
        while place >= len(self._left) and self._page:
            rows = ranked(self.index.store.read, self.index.source, self.identity, self._last, self._page)
            self._page = 0 if len(rows) < self._page else 2 * self._page
            self._left += rows
            self._last = rows[-1] if rows else None
        return self._left[place] if place < len(self._left) else None
