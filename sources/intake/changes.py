"""What a batch of records changes in the index of its source."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from aggregator import facts
from aggregator.facts import Fact
from sources.intake.natives import bounded_name, native_bytes, native_text
from sources.ownership import OwnedRecord, OwnedRow, with_later_rows
from sources.records import UnruledName


@dataclass(slots=True)
class IndexChanges:
    """What a batch of records changes in the index of its source."""

    records: dict[str, OwnedRecord] = field(default_factory=dict)
    restated: dict[str, dict[bytes, OwnedRow]] = field(default_factory=dict)
    """Rows at later times, by record and key. They are those of `records` too."""
    deletions: dict[bytes, int] = field(default_factory=dict)


class PendingBatch(msgspec.Struct, array_like=True):
    """Events that are being sent, and what the index remembers when the broker has acknowledged them."""

    events: list[tuple[bytes, bytes]]
    """Key and value of each fact, as the ledger has it."""
    records: list[tuple[bytes, OwnedRecord]]
    deletions: list[tuple[bytes, int]]
    seen: list[bytes]
    stream: str
    listed: int | None
    totals: dict[str, int]
    unruled: list[tuple[UnruledName, int]]
    at: int
    """When the records came, in milliseconds."""
    restated: list[tuple[bytes, list[OwnedRow]]] = []
    """Rows of other records at later times. The work of a batch does not depend on how many rows these records have."""

    def natives(self) -> set[str]:
        """The records that state something else than before, or have a row at a later time."""
        return {native_text(native) for native, _ in (*self.records, *self.restated)}

    def bounded(self) -> "PendingBatch":
        """With ids of records that are not too long, as former releases kept them."""
        return msgspec.structs.replace(
            self,
            records=[(bounded_name(name), owned) for name, owned in self.records],
            seen=[*map(bounded_name, self.seen)],
        )


PENDING: Final = msgspec.msgpack.Decoder(PendingBatch)
"""Decodes a batch."""


def pending_batch(
    changes: IndexChanges,
    events: Iterable[Fact] = (),
    *,
    seen: Iterable[str] = (),
    stream: str = "",
    listed: int | None = None,
    totals: Mapping[str, int] | None = None,
    unruled: Mapping[UnruledName, int] | None = None,
    at: int = 0,
) -> PendingBatch:
    """A batch to prepare and to commit.

    Args:
        changes: of records, and deletions.
        events: to be sent.
        seen: the records that were read, changed or not.
        stream: the kind of records that they are.
        listed: the lowest time by which the tool lists them, in milliseconds; without a stream when they arrived, or
            None if they were retracted.
        totals: results to add to those before.
        unruled: names without a rule, and how often each came.
        at: when the records came, in milliseconds.
    """
    restated = {**changes.restated}
    records = {
        native: with_later_rows(owned, restated.pop(native)) if native in restated else owned
        for native, owned in changes.records.items()
    }
    return PendingBatch(
        [(facts.key(fact), facts.encode(fact)) for fact in events],
        [(native_bytes(native), owned) for native, owned in records.items()],
        [*changes.deletions.items()],
        [*map(native_bytes, seen)],
        stream,
        listed,
        {**(totals or {})},
        [*(unruled or {}).items()],
        at,
        [(native_bytes(native), [*rows.values()]) for native, rows in restated.items()],
    )
