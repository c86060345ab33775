"""An owner index whose changes are committed when the broker has their events."""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from sources.intake.changes import IndexChanges
from sources.intake.former import distinct
from sources.intake.rows import RankedRecord, ranked
from sources.intake.store import StoredIndex
from sources.ownership import HeldRow, HeldRows, OwnedRecord, OwnedRow, event_name, with_later_rows

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
        """The rows of the changed records, and the restated ones of the others."""
        self._unchanged: dict[bytes, _CommittedRows] = {}
        self._parts = committed.hashed_parts()
        self._read: dict[str, OwnedRecord | None] = {}
        """What was read of the committed index: of each record several questions are asked."""

    def get(self, native: str) -> OwnedRecord | None:
        """What a record stated last; None for one that was never seen."""
        known = self._known(native)
        return self._claimed(native) if known is None and self._parts is not None else known

    def _known(self, native: str) -> OwnedRecord | None:
        changed = self.changes.records.get(native)
        known = changed or self._committed_record(native)
        rows = self.changes.restated.get(native)
        if known is None or rows is None:
            return known
        known = with_later_rows(known, rows)
        if changed is not None:
            self.changes.records[native] = known
            del self.changes.restated[native]
        return known

    def _committed_record(self, native: str) -> OwnedRecord | None:
        if native not in self._read:
            self._read[native] = self._committed.get(native)
        return self._read[native]

    def _claimed(self, native: str) -> OwnedRecord | None:
        """A record that was made again from its events, under their names because its own is hashed in them."""
        claimed: OwnedRecord | None = None
        for part in ("", *(self._parts or ())):
            name, plain = event_name(self._committed.source, native, part), f"{native}/{part}" if part else native
            found = None if name == plain else self._known(name)
            if found is None or not found.recovered:
                continue
            rows = (*(claimed or OwnedRecord()).rows, *(OwnedRow(row.key, row.value, part) for row in found.rows))
            at = max((row.fact.at for row in rows), default=None)
            versions = [each.version for each in (claimed, found) if each is not None and each.version is not None]
            claimed = OwnedRecord(min(versions, default=None), at, distinct(rows), recovered=True)
            self.put(name, OwnedRecord())
        if claimed is not None:
            self.put(native, claimed)
        return claimed

    def put(self, native: str, owned: OwnedRecord) -> None:
        """Remember what a record stated."""
        self._held.replace(native, self._held_rows(native), owned.rows)
        self.changes.restated.pop(native, None)
        self.changes.records[native] = owned

    def _held_rows(self, native: str) -> Collection[OwnedRow]:
        """The rows of a record that are in `_held`."""
        if native in self.changes.records:
            return (self._known(native) or OwnedRecord()).rows
        return self.changes.restated.get(native, {}).values()

    def restate(self, native: str, former: OwnedRow, row: OwnedRow) -> None:
        """Remember a row of a record at a later time."""
        self._held.restate(native, former, row)
        self.changes.restated.setdefault(native, {})[row.key] = row

    def natives(self) -> Collection[str]:
        """All records that were seen."""
        return {*self._committed.natives(), *self.changes.records}

    def best_other(self, identity: bytes, native: str) -> HeldRow | None:
        """The row of the greatest rank that a record other than this one has of an identity; None if none has one."""
        rows = self._unchanged.setdefault(identity, _CommittedRows(self._committed, identity, self._is_passed))
        committed = rows.best_other(native)
        found = [self._held.best_other(identity, native), None if committed is None else self._row(identity, committed)]
        return min((held for held in found if held is not None), default=None)

    def _is_passed(self, identity: bytes, committed: RankedRecord) -> bool:
        """Whether a committed row is not one any more, or stands at a later time."""
        native = committed.native
        if native in self.changes.records:
            return True
        rows = self.changes.restated.get(native)
        return rows is not None and committed.key(identity) in rows

    def _row(self, identity: bytes, committed: RankedRecord) -> HeldRow | None:
        row = self._committed.row(committed.native, committed.key(identity))
        return None if row is None else HeldRow(committed.rank, committed.native, row)

    def deleted_at(self, identity: bytes) -> int:
        """The latest deletion of an identity in milliseconds; -1 if it was never deleted."""
        return max(self.changes.deletions.get(identity, -1), self._committed.deleted_at(identity))

    def delete(self, identity: bytes, at: int) -> None:
        """Remember the deletion of an identity."""
        self.changes.deletions[identity] = max(at, self.changes.deletions.get(identity, -1))


@dataclass(slots=True)
class _CommittedRows:
    """The committed rows of one identity that are not changed, the greatest rank first.

    Changes are never undone, so a changed row is passed once and for all.
    """

    index: StoredIndex
    identity: bytes
    is_passed: Callable[[bytes, RankedRecord], bool]
    _left: deque[RankedRecord] = field(default_factory=deque)
    """Those that are read and not passed."""
    _last: RankedRecord | None = None
    _page: int = _FIRST_PAGE
    """How many are read next; 0 after all were read."""

    def best_other(self, native: str) -> RankedRecord | None:
        """The first of another record than this one."""
        while (first := self._at(0)) is not None and self.is_passed(self.identity, first):
            self._left.popleft()
        place = 0
        while (found := self._at(place)) is not None and (
            found.native == native or self.is_passed(self.identity, found)
        ):
            place += 1
        return found

    def _at(self, place: int) -> RankedRecord | None:
        while place >= len(self._left) and self._page:
            rows = ranked(self.index.store.read, self.index.source, self.identity, self._last, self._page)
            self._page = 0 if len(rows) < self._page else 2 * self._page
            self._left += rows
            self._last = rows[-1] if rows else None
        return self._left[place] if place < len(self._left) else None
