"""A source at work: payloads of its tool become facts, and the owner index remembers them.

Nothing here asks a network or reads a clock: the caller passes the time at which a payload arrived.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, final

import msgspec

from aggregator import facts
from aggregator.facts import Fact
from sources.item_paths import ItemFields, ItemPaths, SharedPaths
from sources.meaning import Rules
from sources.ownership import MemoryIndex, OwnerIndex, RecordVersion, Statement
from sources.records import (
    Malformed,
    OwnEvent,
    Result,
    Said,
    Skip,
    SkipReason,
    SourceRecord,
    UnknownShapeError,
    bounded_id,
)
from sources.registry import Tool
from streams.events import values
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.encoder import encode_event
from streams.events.values import EARLIEST_INTEGER_AT
from streams.events.wire import AnnotationEvent, EvaluationEvent, QueueItemEvent, WireEvent

_KINDS: Final[Mapping[type[WireEvent], Kind]] = {
    AnnotationEvent: Kind.ANNOTATION,
    EvaluationEvent: Kind.EVALUATION,
    QueueItemEvent: Kind.QUEUE_ITEM,
}
MAX_STATEMENTS: Final = 2_000
"""Most events of one record: each has the texts of the item."""
_TEXTS: Final = ("explanation", "expected", "reason")


@final
@dataclass(frozen=True, slots=True)
class EventRejection:
    """An event of a record that the workers would reject."""

    rejection: Rejection
    value: bytes
    """The event as JSON."""


OutcomeResult = Fact | Skip | EventRejection | Malformed


@final
@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """One result of a record: a fact to send, or why it has no fact."""

    native: str
    """The tool's id of the record."""
    result: OutcomeResult


@dataclass(slots=True)
class ToolSource:
    """Turns payloads of one source into facts.

    Args:
        tool: how its payloads are read.
        rules: what they mean.
        decoder: brings events into normal form.
        index: what was said before. What a record changes is written into it before its outcomes are returned.
    """

    tool: Tool
    rules: Rules
    decoder: Decoder
    index: OwnerIndex = field(default_factory=MemoryIndex)
    _paths: ItemPaths = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._paths = ItemPaths.of(self.rules.settings, columns=self.tool.columns)

    @property
    def owns(self) -> bool:
        """Whether the source remembers what its records said."""
        return self.tool.owns(self.rules.settings)

    def read(self, content: bytes) -> list[SourceRecord]:
        """The records of a file or body. Raises UnknownShapeError for one that is not the tool's.

        If some of its documents or records are the tool's, the others are malformed records.
        """
        documents = list(self.tool.documents(content))
        records: list[SourceRecord] = []
        for number, document in enumerate(documents, start=1):
            place = f"document {number}: " if len(documents) > 1 else ""
            try:
                records.extend(_placed(_bounded(record), place) for record in self.tool.map(document, self.rules))
            except UnknownShapeError as error:
                records.append(_placed(SourceRecord("", (Malformed(str(error), document),)), place))
        if records and all(_is_malformed(record) for record in records):
            raise UnknownShapeError(next(result.why for result in records[0].results if isinstance(result, Malformed)))
        return records

    def outcomes(
        self, records: Iterable[SourceRecord], received: int, clock: int | None = None, *, current: bool = False
    ) -> Iterator[RecordOutcome]:
        """The outcomes of records, in their order.

        Args:
            records: of one or several payloads.
            received: when they arrived, in milliseconds; the time of records that have none.
            clock: the broker's time, in milliseconds. None accepts every time.
            current: whether the tool had no newer versions of them then.
        """
        paths = SharedPaths(self._paths)
        for record in records:
            results = self._record(record, paths.find(record.original), received, clock, current=current)
            yield from (RecordOutcome(record.native, result) for result in results)

    def missing(self, records: Sequence[SourceRecord], received: int) -> Iterator[RecordOutcome]:
        """The deletions of all records that are not among these, which are all that the tool has.

        Nothing is deleted if one is malformed, because it may be any record.
        """
        if not self.owns or any(_is_malformed(record) for record in records):
            return
        natives = {record.native for record in records}
        yield from self.retracted((native for native in self.index.natives() if native not in natives), received)

    def retracted(self, natives: Iterable[str], received: int) -> Iterator[RecordOutcome]:
        """The deletions of all that these records said, because the tool does not have them any more.

        Args:
            natives: the tool's ids of the records.
            received: when that was seen, in milliseconds.
        """
        for native in natives:
            said = RecordVersion(self.rules.settings.prefix, native, received).vanish(self.index)
            yield from (RecordOutcome(native, fact) for fact in said)

    def _record(
        self, record: SourceRecord, found: ItemFields, received: int, clock: int | None, *, current: bool
    ) -> Iterator[OutcomeResult]:
        fields, left_out = found
        results = [self._normal(result, fields, clock) for result in record.results]
        if any(isinstance(result, Statement) for result in results):
            results += left_out
        if (rejection := self._ahead(received if record.at is None else record.at, clock)) is not None:
            # Nothing is remembered of it: the record may come again with a right time.
            yield from (_rejected(result, rejection) if isinstance(result, Statement) else result for result in results)
            return
        statements = [result for result in results if isinstance(result, Statement)]
        version = RecordVersion(self.rules.settings.prefix, record.native, received, record.at, record.version, current)
        if self.owns and record.native:
            owned = self.index.get(record.native)
            said = version.delete(self.index) if record.deleted else version.state(self.index, statements)
            if said is None:
                yield Skip(SkipReason.OLDER, "a newer version of the record was read before")
                return
            if record.deleted and (owned is None or not owned.rows):
                yield Skip(SkipReason.NOT_OWNED, "the record is not known, or has become no event")
        else:
            said = list(version.dated(statements))
        by_key = {facts.key(fact): fact for fact in said}
        for result in results:
            if not isinstance(result, Statement):
                yield result
            elif (fact := by_key.pop(facts.key(result.fact), None)) is not None:
                yield fact
        yield from by_key.values()

    def _ahead(self, at: int, clock: int | None) -> Rejection | None:
        """The rejection of a record whose time is too far ahead of the clock: workers would reject its events."""
        return None if clock is None else self.decoder.future_rejection(at, clock)

    def _normal(
        self, result: Result, fields: Mapping[str, Any], clock: int | None
    ) -> Statement | Fact | Skip | EventRejection | Malformed:
        """A result with its event in normal form. `fields` are those of every event of its record."""
        if isinstance(result, OwnEvent):
            decoded = self.decoder.decode_line(result.value, result.headers, clock)
            return EventRejection(decoded, result.value) if isinstance(decoded, Rejection) else decoded[1]
        if not isinstance(result, Said):
            return result
        # A long text must not make the event too large for the decoder, which cuts it as well.
        texts = {name: values.text(getattr(result.event, name)) for name in _TEXTS if hasattr(result.event, name)}
        event = msgspec.structs.replace(result.event, **texts, **fields)
        version = msgspec.structs.replace(event, id="open", at=EARLIEST_INTEGER_AT)
        fact = self.decoder.decode_value(_KINDS[type(event)], _encoded(version))
        if isinstance(fact, Rejection):
            return EventRejection(fact, _encoded(event))
        return Statement(fact, result.part)


def _encoded(event: WireEvent) -> bytes:
    """The event as JSON, in ASCII if it has half of a surrogate pair, which UTF-8 has not."""
    try:
        return msgspec.json.encode(event)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(event)).encode()


def _rejected(statement: Statement, rejection: Rejection) -> EventRejection:
    return EventRejection(rejection, encode_event(statement.fact))


def _bounded(record: SourceRecord) -> SourceRecord:
    """The record with an id that is not too long; a malformed one if it states too much."""
    said = sum(isinstance(result, Said | OwnEvent) for result in record.results)
    if said > MAX_STATEMENTS:
        value = bytes(record.original) if isinstance(record.original, bytes | msgspec.Raw) else b""
        why = f"a record has {said:,} ratings and verdicts, at most {MAX_STATEMENTS:,} are read"
        return SourceRecord("", (Malformed(why, value),))
    native = bounded_id(record.native)
    return record if native == record.native else replace(record, native=native)


def _placed(record: SourceRecord, place: str) -> SourceRecord:
    """The record; what is malformed in it is found at a place."""
    if not place or not _is_malformed(record):
        return record
    results = (replace(each, why=place + each.why) if isinstance(each, Malformed) else each for each in record.results)
    return replace(record, results=tuple(results))


def _is_malformed(record: SourceRecord) -> bool:
    return any(isinstance(result, Malformed) for result in record.results)
