"""An owner index whose changes are committed when the broker has their events."""

from collections.abc import Collection

from sources.intake.store import IndexChanges, StoredIndex
from sources.ownership import OwnedRecord


class StagedIndex:
    """Reads through to the committed index, and collects changes.

    Args:
        committed: is not changed.
    """

    def __init__(self, committed: StoredIndex) -> None:
        self.changes = IndexChanges()
        self._committed = committed
        self._holders: dict[bytes, set[str]] = {}

    def get(self, native: str) -> OwnedRecord | None:
        """What a record stated last; None for one that was never seen."""
        return self.changes.records.get(native) or self._committed.get(native)

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
