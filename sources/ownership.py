"""The owner index: what each record of a tool stated last, so that what it no longer states can be taken back.

Tools edit records without a new time, delete them by id alone, or just drop them. Compared with what a record said
before, all of these become newer events and deletions.

Versions of one record may arrive in any order, and more than once: the rows that stand at the end are those of its
newest version.
"""

from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from aggregator import facts
from aggregator.facts import MAX_ID, Annotation, Evaluation, Fact, QueueItem
from streams.events.values import is_text

_LONGEST_SUFFIX: Final = len("@18446744073709551615~deleted")


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


class OwnedRecord(msgspec.Struct, frozen=True):
    """What a record said last."""

    version: int | None = None
    """Its newest version that was seen; None for a record with neither version nor time."""
    at: int | None = None
    """Time of its latest event in milliseconds; None if it never became one."""
    rows: tuple[OwnedRow, ...] = ()


OwnerIndex = MutableMapping[str, OwnedRecord]
"""What was said, by the tool's id of the record."""


class Change(NamedTuple):
    """What a version of a record changes: send the facts, then store what is owned."""

    facts: Sequence[Fact]
    owned: OwnedRecord


def event_id(prefix: str, native: str, part: str, version: int, *, deleted: bool = False) -> str:
    """The id of an event: the same for the same version of a record.

    A deletion sorts after the event of the same version, so it wins.

    >>> event_id("labelstudio", "101", "resolved", 1795431729700, deleted=True)
    'labelstudio:101/resolved@1795431729700~deleted'
    """
    name = f"{native}/{part}" if part else native
    if len(prefix) + 1 + len(name) + _LONGEST_SUFFIX > MAX_ID or not is_text(name):
        name = sha256(name.encode(errors="surrogatepass")).hexdigest()
    return f"{prefix}:{name}@{version}{'~deleted' if deleted else ''}"


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

    @property
    def order(self) -> int | None:
        """What orders the versions of a record."""
        return self.at if self.number is None else self.number

    def dated(self, statements: Iterable[Statement]) -> Iterator[Fact]:
        """The facts of a source that remembers nothing."""
        at = self.received if self.at is None else self.at
        for statement in statements:
            yield self._fact(statement, at, at if self.number is None else self.number)

    def change(self, before: OwnedRecord | None, statements: Sequence[Statement]) -> Change | None:
        """What this version changes when it states all of `statements`; None if a newer one was seen."""
        before = before or OwnedRecord()
        if self._is_older(before):
            return None
        repeated = before.at is not None and self.order in (None, before.version)
        old = {row.key: row for row in before.rows}
        new = {facts.key(statement.fact): statement for statement in statements}
        if repeated and old.keys() == new.keys() and all(_same(old[key].fact, new[key].fact) for key in new):
            return Change((), before)
        at = self._after(before, self.received if repeated or self.at is None else self.at)
        number = at if self.number is None or repeated else self.number
        said = {key: self._fact(statement, at, number) for key, statement in new.items()}
        gone = [row for key, row in old.items() if key not in new and _verdict_key(key) not in new]
        for key in [_failure_key(row.key) for row in gone if _failure_key(row.key) in new]:
            # Later than the deletion of the verdict, which would hide it.
            said[key] = self._fact(new[key], at + 1, at + 1)
        changes = [*said.values(), *(self._deletion(row, at, number) for row in gone)]
        rows = tuple(OwnedRow(key, facts.encode(fact), new[key].part) for key, fact in said.items())
        latest = max((fact.at for fact in changes), default=before.at)
        return Change(changes, OwnedRecord(self.order, latest, rows))

    def deletion(self, before: OwnedRecord | None) -> Change | None:
        """What changes when the tool deleted the record; None if a newer version was seen.

        A record that is not known is remembered as deleted, because its versions may arrive later.
        """
        before = before or OwnedRecord()
        if self._is_older(before):
            return None
        at = self._after(before, self.received if self.at is None else self.at)
        number = max(at, -1 if before.version is None else before.version + 1)
        return Change(self._deletions(before, at), OwnedRecord(number, at if before.rows else before.at))

    def vanished(self, before: OwnedRecord) -> Change:
        """What changes when the record is missing from all that the tool has. If it appears again, it counts again."""
        at = self._after(before, self.received)
        return Change(self._deletions(before, at), OwnedRecord(before.version, at if before.rows else before.at))

    def _is_older(self, before: OwnedRecord) -> bool:
        return self.order is not None and before.version is not None and self.order < before.version

    @staticmethod
    def _after(before: OwnedRecord, at: int) -> int:
        return at if before.at is None else max(at, before.at + 1)

    def _fact(self, statement: Statement, at: int, number: int) -> Fact:
        id = event_id(self.prefix, self.native, statement.part, number)
        return msgspec.structs.replace(statement.fact, at=at, id=id)

    def _deletions(self, before: OwnedRecord, at: int) -> list[Fact]:
        return [self._deletion(row, at, at) for row in before.rows]

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


def _failure_key(key: bytes) -> bytes:
    return b'["x"' + key[4:] if key.startswith(b'["e"') else key
