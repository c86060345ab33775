"""A source at work: payloads of its tool become facts, and the owner index remembers them.

Nothing here asks a network or reads a clock: the caller passes the time at which a payload arrived.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

import msgspec

from aggregator import facts
from aggregator.facts import Fact
from sources.meaning import Rules
from sources.ownership import OwnerIndex, RecordVersion, Statement
from sources.records import Malformed, OwnEvent, Result, Said, Skip, SkipReason, SourceRecord, UnknownShapeError
from sources.registry import Tool
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.values import EARLIEST_INTEGER_AT
from streams.events.wire import AnnotationEvent, EvaluationEvent, QueueItemEvent, WireEvent

_KINDS: Final[Mapping[type[WireEvent], Kind]] = {
    AnnotationEvent: Kind.ANNOTATION,
    EvaluationEvent: Kind.EVALUATION,
    QueueItemEvent: Kind.QUEUE_ITEM,
}


@final
@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """One result of a record: a fact to send, or why it has no fact."""

    native: str
    """The tool's id of the record."""
    result: Fact | Skip | Rejection | Malformed


@dataclass(slots=True)
class ToolSource:
    """Turns payloads of one source into facts.

    Args:
        tool: how its payloads are read.
        rules: what they mean.
        decoder: brings events into normal form.
        index: what was said before. What a payload changes is written into it while its outcomes are read; pass an
            overlay to keep it back until they are sent.
    """

    tool: Tool
    rules: Rules
    decoder: Decoder
    index: OwnerIndex = field(default_factory=dict)

    @property
    def owns(self) -> bool:
        """Whether the source remembers what its records said."""
        return self.tool.owns(self.rules.settings)

    def outcomes(self, content: bytes, received: int, *, complete: bool = False) -> Iterator[RecordOutcome]:
        """The outcomes of a file or body, in its order.

        Args:
            content: the payload.
            received: when it arrived, in milliseconds: the time of records that have none.
            complete: whether it is all that the tool has, so that records that are missing in it were deleted.

        Raises UnknownShapeError for a payload that is none of the tool's. Then nothing of it is yielded.
        """
        records = self._records(content)
        natives = set()
        for record in records:
            natives.add(record.native)
            yield from self._record(record, received)
        if complete and self.owns:
            for native in [native for native in self.index if native not in natives]:
                change = self._version(native, received).vanished(self.index[native])
                self.index[native] = change.owned
                yield from (RecordOutcome(native, fact) for fact in change.facts)

    def _records(self, content: bytes) -> list[SourceRecord]:
        records = [record for one in self.tool.documents(content) for record in self.tool.map(one, self.rules)]
        malformed = [result for record in records for result in record.results if isinstance(result, Malformed)]
        if malformed and len(malformed) == len(records):
            raise UnknownShapeError(malformed[0].why)
        return records

    def _version(self, native: str, received: int, at: int | None = None, number: int | None = None) -> RecordVersion:
        return RecordVersion(self.rules.settings.prefix, native, received, at, number)

    def _record(self, record: SourceRecord, received: int) -> Iterator[RecordOutcome]:
        results = [self._normal(result) for result in record.results]
        statements = [result for result in results if isinstance(result, Statement)]
        version = self._version(record.native, received, record.at, record.version)
        said: Sequence[Fact]
        if not self.owns or not record.native:
            said = list(version.dated(statements))
        else:
            before = self.index.get(record.native)
            if record.deleted:
                change = version.deletion(before)
                if change is not None and not change.facts:
                    results = [Skip(SkipReason.NOT_OWNED, "deleted, and it had become no event")]
            else:
                change = version.change(before, statements)
            if change is None:
                yield RecordOutcome(
                    record.native, Skip(SkipReason.OLDER, "a newer version of the record was read before")
                )
                return
            self.index[record.native] = change.owned
            said = change.facts
        by_key = {facts.key(fact): fact for fact in said}
        for result in results:
            if not isinstance(result, Statement):
                yield RecordOutcome(record.native, result)
            elif (fact := by_key.pop(facts.key(result.fact), None)) is not None:
                yield RecordOutcome(record.native, fact)
        yield from (RecordOutcome(record.native, fact) for fact in by_key.values())

    def _normal(self, result: Result) -> Statement | Fact | Skip | Rejection | Malformed:
        """A result with its event in normal form."""
        if isinstance(result, OwnEvent):
            decoded = self.decoder.decode_line(result.value, result.headers)
            return decoded if isinstance(decoded, Rejection) else decoded[1]
        if not isinstance(result, Said):
            return result
        event = msgspec.structs.replace(result.event, id="open", at=EARLIEST_INTEGER_AT)
        fact = self.decoder.decode_value(_KINDS[type(event)], msgspec.json.encode(event))
        return fact if isinstance(fact, Rejection) else Statement(fact, result.part)
