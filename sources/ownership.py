"""The owner index: what each record of a tool stated last, so that what it no longer states can be taken back.

Tools edit records without a new time, delete them by id alone, or just drop them. Compared with what a record said
before, all of these become newer events and deletions.

Versions of one record may arrive in any order, and more than once: the rows that stand at the end are those of its
newest version.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple, Protocol

import msgspec

from aggregator import facts
from aggregator.facts import LATEST_AT, MAX_ID, Annotation, Evaluation, Fact, QueueItem
from streams.events.values import is_text

_DELETED: Final = "~deleted"
_LONGEST_SUFFIX: Final = len(f"@18446744073709551615{_DELETED}")
_VERSION: Final = re.compile(rf"(.*)@(\d{{1,20}})({_DELETED})?", re.DOTALL)


class Statement(NamedTuple):
    """A fact that a record states. Its id and time are open until the version of the record is settled."""

    fact: Fact
    part: str = ""
    """Distinguishes facts of one record in their ids."""


class OwnedRow(msgspec.Struct, frozen=True):
    """One row that a record said, as the ledger has it."""

    key: bytes
    value: bytes
    part: str = ""

    @property
    def fact(self) -> Fact:
        """The fact that was sent."""
        return facts.parse(self.key, self.value)

    @property
    def identity(self) -> bytes:
        """The key of the row that a deletion has: that of a failure is the one of its verdict."""
        return _verdict_key(self.key)

    @property
    def rank(self) -> str:
        """What orders the rows that records have of one identity; the greatest stands.

        A verdict stands before a failure, which shows only where no verdict does; then the newest does. Two rows of one
        rank have one id, as records `a` with the part `b/c` and `a/b` with the part `c` may have at one time.
        """
        fact = self.fact
        return f"{self.key == self.identity:d}{fact.at:015d}{fact.id}"


class OwnedRecord(msgspec.Struct, frozen=True):
    """What a record said last."""

    version: int | None = None
    """Its newest version that was seen; None for a record with neither version nor time."""
    at: int | None = None
    """Time of its latest event in milliseconds; None if it never became one."""
    rows: tuple[OwnedRow, ...] = ()
    recovered: bool = False
    """Whether it was made again from the events of the record, which do not have its version if they were dated later:
    `version` is the lowest that it cannot exceed."""


class OwnerIndex(Protocol):
    """What the records of a source stated last, by the tool's id of the record."""

    def get(self, native: str) -> OwnedRecord | None:
        """What a record stated last; None for one that was never seen."""

    def put(self, native: str, owned: OwnedRecord) -> None:
        """Remember what a record stated."""

    def restate(self, native: str, former: OwnedRow, row: OwnedRow) -> None:
        """Remember a row of a record at a later time.

        However many rows the record has, the work is about the same.

        Args:
            native: the tool's id of the record.
            former: the row that it has.
            row: the one that it has from now on; the key is the same.
        """

    def natives(self) -> Collection[str]:
        """All records that were seen."""

    def best_other(self, identity: bytes, native: str) -> "HeldRow | None":
        """The row of the greatest rank that a record other than this one has of an identity; None if none has one.

        However many records have one, the work is about the same.
        """

    def deleted_at(self, identity: bytes) -> int:
        """The latest deletion of an identity in milliseconds; -1 if it was never deleted."""

    def delete(self, identity: bytes, at: int) -> None:
        """Remember the deletion of an identity."""


class HeldRow(NamedTuple):
    """A row that a record has, and its rank."""

    rank: str
    native: str
    """The tool's id of the record."""
    row: OwnedRow

    def __lt__(self, other: tuple[object, ...]) -> bool:
        """Whether it comes first in a heap: it has the greater rank."""
        return self[:2] > other[:2]


@dataclass(slots=True)
class _Ranking:
    """The rows of one identity."""

    rows: dict[tuple[str, str], OwnedRow] = field(default_factory=dict)
    """By rank and record."""
    heap: list[HeldRow] = field(default_factory=list)
    """These rows, and some that are gone."""

    def add(self, held: HeldRow) -> None:
        self.rows[held[:2]] = held.row
        heappush(self.heap, held)
        # A record that is edited again and again leaves its former rows below its newest one.
        if len(self.heap) > 2 * len(self.rows) + 8:
            self.heap = [HeldRow(*key, row) for key, row in self.rows.items()]
            heapify(self.heap)

    def best_other(self, native: str) -> HeldRow | None:
        own = []
        best = None
        while self.heap and best is None:
            first = self.heap[0]
            if self.rows.get(first[:2]) is not first.row:
                heappop(self.heap)
            elif first.native == native:
                own.append(heappop(self.heap))
            else:
                best = first
        for held in own:
            heappush(self.heap, held)
        return best


class HeldRows:
    """The rows that records have, by identity.

    A change or an answer takes work of the logarithm of the rows of its identity.
    """

    def __init__(self) -> None:
        self._rankings: dict[bytes, _Ranking] = {}

    def replace(self, native: str, before: Collection[OwnedRow], after: Collection[OwnedRow]) -> None:
        """A record has the rows `after`, and no longer those of `before`."""
        gone, added = changed_rows(before, after)
        for row in gone:
            ranking = self._rankings[row.identity]
            del ranking.rows[row.rank, native]
            if not ranking.rows:
                del self._rankings[row.identity]
        for row in added:
            self._rankings.setdefault(row.identity, _Ranking()).add(HeldRow(row.rank, native, row))

    def restate(self, native: str, former: OwnedRow, row: OwnedRow) -> None:
        """A record has a row in place of a former one of the same key, if it has that one here."""
        ranking = self._rankings.setdefault(row.identity, _Ranking())
        ranking.rows.pop((former.rank, native), None)
        ranking.add(HeldRow(row.rank, native, row))

    def best_other(self, identity: bytes, native: str) -> HeldRow | None:
        """The row of the greatest rank that a record other than this one has of an identity; None if none has one."""
        ranking = self._rankings.get(identity)
        return None if ranking is None else ranking.best_other(native)


def with_later_rows(owned: OwnedRecord, rows: Mapping[bytes, OwnedRow]) -> OwnedRecord:
    """What a record states, with some of its rows, by key, at later times."""
    latest = max(owned.at or 0, *(row.fact.at for row in rows.values()))
    all_rows = {row.key: row for row in owned.rows} | {**rows}
    return msgspec.structs.replace(owned, at=latest, rows=tuple(all_rows.values()))


def changed_rows(before: Collection[OwnedRow], after: Collection[OwnedRow]) -> tuple[set[OwnedRow], set[OwnedRow]]:
    """The rows that are gone, and those that are new."""
    old, new = {*before}, {*after}
    return old - new, new - old


class MemoryIndex:
    """An owner index in memory."""

    def __init__(self) -> None:
        self._records: dict[str, OwnedRecord] = {}
        self._restated: dict[str, dict[bytes, OwnedRow]] = {}
        """Rows at later times, by record and key."""
        self._held = HeldRows()
        self._deleted: dict[bytes, int] = {}

    def get(self, native: str) -> OwnedRecord | None:
        """What a record stated last; None for one that was never seen."""
        if (rows := self._restated.pop(native, None)) is not None:
            self._records[native] = with_later_rows(self._records[native], rows)
        return self._records.get(native)

    def put(self, native: str, owned: OwnedRecord) -> None:
        """Remember what a record stated."""
        self._held.replace(native, (self.get(native) or OwnedRecord()).rows, owned.rows)
        self._records[native] = owned

    def restate(self, native: str, former: OwnedRow, row: OwnedRow) -> None:
        """Remember a row of a record at a later time."""
        self._held.restate(native, former, row)
        self._restated.setdefault(native, {})[row.key] = row

    def natives(self) -> Collection[str]:
        """All records that were seen."""
        return tuple(self._records)

    def best_other(self, identity: bytes, native: str) -> HeldRow | None:
        """The row of the greatest rank that a record other than this one has of an identity; None if none has one."""
        return self._held.best_other(identity, native)

    def deleted_at(self, identity: bytes) -> int:
        """The latest deletion of an identity in milliseconds; -1 if it was never deleted."""
        return self._deleted.get(identity, -1)

    def delete(self, identity: bytes, at: int) -> None:
        """Remember the deletion of an identity."""
        self._deleted[identity] = max(at, self.deleted_at(identity))


def event_id(prefix: str, native: str, part: str, version: int, *, deleted: bool = False) -> str:
    """The id of an event: the same for the same version of a record. A name that an id cannot have is hashed.

    A deletion sorts after the event of the same version, so it wins.

    >>> event_id("labelstudio", "101", "resolved", 1795431729700, deleted=True)
    'labelstudio:101/resolved@1795431729700~deleted'
    """
    return f"{prefix}:{event_name(prefix, native, part)}@{version}{_DELETED if deleted else ''}"


def event_name(prefix: str, native: str, part: str = "") -> str:
    """What the ids of the events of a record have between the prefix and the version."""
    name = f"{native}/{part}" if part else native
    if len(prefix) + 1 + len(name) + _LONGEST_SUFFIX > MAX_ID or not is_text(name):
        return sha256(name.encode(errors="surrogatepass")).hexdigest()
    return name


class EventName(NamedTuple):
    """What the id of an event of a source has."""

    name: str
    """See `event_name`."""
    number: int
    """The version."""


def parse_event_id(prefix: str, id: str) -> EventName | None:
    """The parts of the id of an event; None for one that is not of the source with this prefix.

    >>> parse_event_id("labelstudio", "labelstudio:101/resolved@1795431729700~deleted")
    EventName(name='101/resolved', number=1795431729700)
    """
    if not id.startswith(f"{prefix}:") or (found := _VERSION.fullmatch(id, len(prefix) + 1)) is None:
        return None
    return EventName(found[1], int(found[2]))


@dataclass(frozen=True, slots=True)
class RecordVersion:
    """One version of one record."""

    prefix: str
    """What ids of the source's events begin with."""
    native: str
    """The tool's id of the record."""
    received: int
    """When it arrived, in milliseconds."""
    at: int | None = None
    """Time of the record's last change in milliseconds, if it has one."""
    number: int | None = None
    """The tool's own version, if it has one."""
    current: bool = False
    """Whether the tool had no newer version when it arrived, as for what is read from its lists."""

    @property
    def order(self) -> int | None:
        """What orders the versions of a record."""
        return self.at if self.number is None else self.number

    def dated(self, statements: Iterable[Statement]) -> Iterator[Fact]:
        """The facts of a source that remembers nothing."""
        at = self.received if self.at is None else self.at
        for statement in statements:
            yield self._fact(statement, at, at if self.number is None else self.number)

    def state(self, index: OwnerIndex, statements: Sequence[Statement]) -> list[Fact] | None:
        """The facts to send when this version states all of `statements`; None if a newer version was seen."""
        before = index.get(self.native) or OwnedRecord()
        if self._is_older(before):
            return None
        # What follows the version of a recovered record may be the same version.
        repeated = before.at is not None and (self.order in (None, before.version) or self._precedes(before))
        old = {row.key: row for row in before.rows}
        new = {facts.key(statement.fact): statement for statement in statements}
        if repeated and old.keys() == new.keys() and all(_same(old[key].fact, new[key].fact) for key in new):
            if before.recovered:
                index.put(self.native, OwnedRecord(self.order, before.at, before.rows))
            return []
        at = self._after(before, self.received if repeated or self.at is None else self.at)
        number = at if self.number is None or repeated else self.number
        gone = [row for key, row in old.items() if key not in new and row.identity not in new]
        going = {row.identity for row in gone}
        said: dict[bytes, Fact] = {}
        for key, statement in new.items():
            identity = _verdict_key(key)
            # The deletion of another record may be later, and that of a verdict in whose place there is a failure now.
            deleted_at = max(index.deleted_at(identity), at if identity in going else -1)
            later = min(deleted_at + 1, LATEST_AT)
            said[key] = self._fact(statement, at, number) if at >= later else self._fact(statement, later, later)
        rows = tuple(OwnedRow(key, facts.encode(fact), new[key].part) for key, fact in said.items())
        latest = max((fact.at for fact in said.values()), default=before.at)
        index.put(self.native, OwnedRecord(self.order, latest, rows))
        return [*said.values(), *self._deletions(index, gone, at, number)]

    def delete(self, index: OwnerIndex) -> list[Fact] | None:
        """The facts to send when the tool deleted the record; None if a newer version was seen.

        A record that is not known is remembered as deleted, because its versions may arrive later.
        """
        before = index.get(self.native) or OwnedRecord()
        if self._is_older(before):
            return None
        at = self._after(before, self.received if self.at is None else self.at)
        return self._take_back(index, at, max(at, -1 if before.version is None else before.version + 1))

    def vanish(self, index: OwnerIndex) -> list[Fact]:
        """The facts to send when the record is missing from all that the tool has.

        If it appears again, it counts again.
        """
        before = index.get(self.native) or OwnedRecord()
        said = self._take_back(index, self._after(before, self.received), before.version)
        if before.recovered:
            index.put(self.native, OwnedRecord(before.version, before.at, recovered=True))
        return said

    def _take_back(self, index: OwnerIndex, at: int, version: int | None) -> list[Fact]:
        before = index.get(self.native) or OwnedRecord()
        index.put(self.native, OwnedRecord(version, before.at))
        return self._deletions(index, before.rows, at, at)

    def _is_older(self, before: OwnedRecord) -> bool:
        if before.recovered and self.current and (before.at is None or self.received > before.at):
            return False
        return self._precedes(before)

    def _precedes(self, before: OwnedRecord) -> bool:
        return self.order is not None and before.version is not None and self.order < before.version

    @staticmethod
    def _after(before: OwnedRecord, at: int) -> int:
        # The latest time has none after it, and an event that cannot be written would keep all others back.
        return min(at if before.at is None else max(at, before.at + 1), LATEST_AT)

    def _fact(self, statement: Statement, at: int, number: int) -> Fact:
        id = event_id(self.prefix, self.native, statement.part, number)
        return msgspec.structs.replace(statement.fact, at=at, id=id)

    def _deletions(self, index: OwnerIndex, rows: Iterable[OwnedRow], at: int, number: int) -> list[Fact]:
        """The deletions of rows that the record does not have any more.

        Another record may have a row of the same identity: someone deletes a rating, and rates again. Then the row is
        restated as that record has it.
        """
        sent: list[Fact] = []
        by_identity: dict[bytes, list[OwnedRow]] = {}
        for row in rows:
            by_identity.setdefault(row.identity, []).append(row)
        for identity, gone in by_identity.items():
            best = index.best_other(identity, self.native)
            # A failure shows only where no verdict stands.
            stands = best is not None and best.row.key == identity
            if not stands:
                sent += [self._deletion(row, at, number) for row in gone]
                index.delete(identity, at)
            later = at if stands else min(at + 1, LATEST_AT)
            if best is not None and best.row.fact.at < later:
                id = event_id(self.prefix, best.native, best.row.part, later)
                sent.append(msgspec.structs.replace(best.row.fact, at=later, id=id))
                index.restate(best.native, best.row, OwnedRow(best.row.key, facts.encode(sent[-1]), best.row.part))
        return sent

    def _deletion(self, row: OwnedRow, at: int, number: int) -> Fact:
        """The deletion of a row; of a failure it is that of the verdict, as for every deletion of an evaluation."""
        id, fact = event_id(self.prefix, self.native, row.part, number, deleted=True), row.fact
        if isinstance(fact, Annotation):
            return Annotation(at, id, fact.queue, fact.item, fact.level, fact.criterion, fact.annotator, deleted=True)
        if isinstance(fact, Evaluation):
            return Evaluation(at, id, fact.item, fact.metric, fact.level, fact.judge, deleted=True)
        return QueueItem(at, id, fact.queue, fact.item, fact.level, deleted=True)


def _same(one: Fact, other: Fact) -> bool:
    """Whether two facts differ in id and time at most."""
    return one == msgspec.structs.replace(other, at=one.at, id=one.id)


def _verdict_key(key: bytes) -> bytes:
    """The key of the verdict that stands in place of a failure."""
    return b'["e"' + key[4:] if key.startswith(b'["x"') else key


def key_of(identity: bytes, rank: str) -> bytes:
    """The key of the row of an identity and a rank: a verdict stands before a failure."""
    return identity if rank.startswith("1") else b'["x"' + identity[4:]
