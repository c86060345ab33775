"""An owner index whose changes are committed when the broker has their events."""

from collections.abc import Collection

from sources.intake.store import IndexChanges, StoredIndex
from sources.ownership import OwnedRecord, OwnedRow, event_name


class StagedIndex:
    """Reads through to the committed index, and collects changes.

    Args:
        committed: is not changed.
    """

    def __init__(self, committed: StoredIndex) -> None:
        self.changes = IndexChanges()
        self._committed = committed
        self._holders: dict[bytes, set[str]] = {}
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
        self.changes.records[native] = owned
        for row in owned.rows:
            self._holders.setdefault(row.identity, set()).add(native)

    def natives(self) -> Collection[str]:
        """All records that were seen."""
        return {*self._committed.natives(), *self.changes.records}

    def holders(self, identity: bytes) -> Collection[str]:
        """The records that have a row of this identity now."""
        candidates = {*self._committed.holders(identity), *self._holders.get(identity, ())}
        return [native for native in candidates if self._holds(native, identity)]

    def _holds(self, native: str, identity: bytes) -> bool:
        owned = self.get(native)
        return owned is not None and any(row.identity == identity for row in owned.rows)

    def deleted_at(self, identity: bytes) -> int:
        """The latest deletion of an identity in milliseconds; -1 if it was never deleted."""
        return max(self.changes.deletions.get(identity, -1), self._committed.deleted_at(identity))

    def delete(self, identity: bytes, at: int) -> None:
        """Remember the deletion of an identity."""
        self.changes.deletions[identity] = max(at, self.changes.deletions.get(identity, -1))
