"""What records of a source stated, made again from their events.

The ledger has the latest row of every identity, so it has what a lost index would know, except: the version of a record
whose event was dated later, records whose rows another record of the source replaced, and deletions of records that had
become no event. Where that makes a difference, the next full sync corrects it.

Who may send events can send ids of a source, too. Of these, a version that is later than the time of its event is not
believed: it would make all later edits of the record older than it, for good.

Events that were sent shortly before a crash, and are not in the index, are found in the topics in the same way.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msgspec.structs import replace

from aggregator import facts
from aggregator.facts import Fact
from sources.intake.changes import IndexChanges
from sources.intake.store import SourcePositions, StoredIndex
from sources.names import own_names
from sources.ownership import OwnedRecord, OwnedRow, event_name, parse_event_id
from sources.source import ToolSource

_HASHED: Final = re.compile("[0-9a-f]{64}")


class _NamedEvent(NamedTuple):
    """The latest event of one name for one row."""

    fact: Fact
    version: str
    number: int
    part: str


@dataclass(slots=True)
class SourceEvents:
    """The events of one source. They may be added in any order, and more than once."""

    source: ToolSource
    index: StoredIndex
    """What is remembered. It is not changed here."""
    _rows: dict[str, dict[tuple[bytes, str], _NamedEvent]] = field(default_factory=dict)
    """By record, and then by key and name."""
    _parts: set[str] | None = None
    """What the parts of records with hashed names may be; None without such names."""
    _holders: dict[bytes, set[str]] = field(default_factory=dict)
    """The remembered records by identity, for those of events with hashed names."""
    _names: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Their record and part, by the names of these records' events."""
    _named: set[str] = field(default_factory=set)
    """The records whose names are known."""

    @property
    def prefix(self) -> str:
        """What the ids of the source's events begin with."""
        return self.source.rules.settings.prefix

    def add(self, fact: Fact) -> None:
        """Add an event; the id is of this source."""
        if (parsed := parse_event_id(self.prefix, fact.id)) is None:
            return
        name, settings, key = parsed.name, self.source.rules.settings, facts.key(fact)
        if _HASHED.fullmatch(name):
            native, part = self._holder(name, key)
            if self._parts is None:
                self._parts = {*settings.criteria, *settings.metrics}
            self._parts.update(own_names(fact, settings))
        else:
            native = self.source.tool.native(name, fact, settings)
            part = name[len(native) + 1 :]
        row = _NamedEvent(fact, facts.version(fact), self._version(fact, parsed.number), part)
        rows = self._rows.setdefault(native, {})
        if (known := rows.get((key, name))) is None or row.version > known.version:
            rows[key, name] = row

    def _holder(self, name: str, key: bytes) -> tuple[str, str]:
        """The record of a hashed name and its part, if it is known; else a record that has this name."""
        identity = OwnedRow(key, b"").identity
        if (holders := self._holders.get(identity)) is None:
            holders = self._holders[identity] = {*self.index.holders(identity)}
            for native in holders - self._named:
                owned = self.index.get(native) or OwnedRecord()
                self._names |= {event_name(self.prefix, native, row.part): (native, row.part) for row in owned.rows}
            self._named |= holders
        found = self._names.get(name)
        return found if found is not None and found[0] in holders else (name, "")

    def changes(self) -> tuple[IndexChanges, set[str] | None]:
        """What the index does not have yet, and what the parts of hashed names may be."""
        deleted = _Deletions(self.index)
        for row in self._all():
            deleted.add(row)
        changes = IndexChanges(deletions=deleted.times())
        for native, rows in self._rows.items():
            before = self.index.get(native)
            record = _record([*self._remembered(before), *rows.values()], deleted)
            if before is None:
                changes.records[native] = record
            elif _rows(before) != _rows(record):
                # Only the times differ when rows were stated again after the deletion of another record.
                again = _contents(before) == _contents(record)
                changes.records[native] = replace(before, at=record.at, rows=record.rows) if again else record
        return changes, self._parts

    def _all(self) -> Iterable[_NamedEvent]:
        return (row for rows in self._rows.values() for row in rows.values())

    def _remembered(self, record: OwnedRecord | None) -> Iterable[_NamedEvent]:
        """The rows that the index has of a record."""
        for owned in () if record is None else record.rows:
            fact = owned.fact
            parsed = parse_event_id(self.prefix, fact.id)
            number = fact.at if parsed is None else self._version(fact, parsed.number)
            yield _NamedEvent(fact, facts.version(fact), number, owned.part)

    def _version(self, fact: Fact, number: int) -> int:
        """The version of an event whose id has this number.

        A source dates an event no earlier than the version of the record. Only the tool can tell a number of its own
        from another; such tools are pulled, and what they list is current.
        """
        return number if self.source.tool.numbered else min(number, fact.at)


def rebuild(index: StoredIndex, events: SourceEvents, positions: SourcePositions) -> None:
    """Remember what events state.

    Args:
        index: of the source.
        events: of the source.
        positions: up to where they were read.
    """
    if (batch := index.pending()) is not None:
        for key, value in batch.events:
            events.add(facts.parse(key, value))
    changes, hashed = events.changes()
    index.rebuild(changes, hashed, positions)


class _Deletions:
    """The latest deletion of each identity."""

    def __init__(self, index: StoredIndex) -> None:
        self._index = index
        self._found: dict[bytes, _NamedEvent] = {}
        self._remembered: dict[bytes, int] = {}

    def add(self, row: _NamedEvent) -> None:
        """Add an event, if it is a deletion."""
        if not row.fact.deleted:
            return
        key = facts.key(row.fact)
        if (known := self._found.get(key)) is None or row.version > known.version:
            self._found[key] = row

    def covers(self, row: _NamedEvent, identity: bytes) -> bool:
        """Whether a row was deleted, or is hidden by a deletion."""
        if (found := self._found.get(identity)) is not None and row.version < found.version:
            return True
        if identity not in self._remembered:
            self._remembered[identity] = self._index.deleted_at(identity)
        return row.fact.at < self._remembered[identity]

    def times(self) -> dict[bytes, int]:
        """The time of each deletion in milliseconds."""
        return {key: row.fact.at for key, row in self._found.items()}


def _record(rows: Iterable[_NamedEvent], deleted: _Deletions) -> OwnedRecord:
    """What a record states by its events."""
    all_rows = list(rows)
    latest: dict[bytes, tuple[_NamedEvent, OwnedRow]] = {}
    for row in all_rows:
        if row.fact.deleted:
            continue
        owned = OwnedRow(facts.key(row.fact), facts.encode(row.fact), row.part)
        if deleted.covers(row, owned.identity):
            continue
        # A failure and a verdict of one record: it states the later one.
        known = latest.get(owned.identity)
        if known is None or row.version > known[0].version:
            latest[owned.identity] = row, owned
    standing = [row for row, _ in latest.values()]
    return OwnedRecord(
        # All rows that stand are of the last version, or dated later.
        min((row.number for row in standing), default=max(row.number for row in all_rows)),
        max((row.fact.at for row in standing), default=None),
        tuple(owned for _, owned in latest.values()),
        recovered=True,
    )


def _rows(record: OwnedRecord) -> Mapping[bytes, bytes]:
    return {row.key: row.value for row in record.rows}


def _contents(record: OwnedRecord) -> Mapping[bytes, Fact]:
    """The rows without id and time."""
    return {row.key: replace(row.fact, id="", at=0) for row in record.rows}
