"""The way of a payload into the product: facts are acknowledged by the broker, then the index remembers them.

A batch is in an outbox of the index while it is sent. Killed before the broker's acknowledgement is remembered, a
source sends it again before anything else: the same events merge to nothing, and they can be taken back even if the
tool never mentions their records again.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Container, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeVar

import msgspec

from aggregator import facts
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from sources.intake.changes import IndexChanges, PendingBatch, pending_batch
from sources.intake.dead_letter_budget import DeadLetterBudget
from sources.intake.natives import native_text
from sources.intake.staged import StagedIndex
from sources.intake.store import StoredIndex
from sources.records import Malformed, Skip, SourceRecord, UnruledName
from sources.source import EventRejection, RecordOutcome, ToolSource
from streams.events.reasons import Reason
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

T = TypeVar("T")

_BATCH: Final = 500
"""Records of which the broker acknowledges all events before the index remembers them."""
_MAX_REFUSALS: Final = 1_000
_MAX_KNOWN: Final = 200_000
_NUMBER: Final = re.compile(r"\d+")
EVENTS: Final = "events"
REJECTED: Final = "rejected"
"""Results in the totals of a source; the others are reasons of skips."""


class Refusal(NamedTuple):
    """Something of a record that was rejected."""

    native: str
    """The tool's id of the record."""
    reason: str
    """The reject reason."""
    detail: str
    """What is wrong, without values."""


class Delivery(NamedTuple):
    """What a batch of records became."""

    facts: Sequence[Fact]
    """To be sent."""
    rejected: Sequence[RecordOutcome]
    """Rejected events and malformed records that become dead letters."""


Deliver = Callable[[Delivery], Awaitable[Collection[Fact] | None]]
"""Returns when the broker has acknowledged the facts; raises when it did not.

Some facts may be dead letters instead, because the broker never takes them; these are returned.
"""


@dataclass(slots=True)
class IntakeResult:
    """What became of records."""

    events: int = 0
    """Acknowledged events."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Skipped parts of records, by reason."""
    rejected: int = 0
    """Rejected events and malformed records."""
    malformed: int = 0
    """Of these, the records that could not be read."""
    unruled: Counter[UnruledName] = field(default_factory=Counter)
    """Names without a rule, with the value that came."""
    refusals: list[Refusal] = field(default_factory=list)
    """The first of these."""
    counted: Counter[str] = field(default_factory=Counter)
    """Results by kind, without those of listed records that were counted before."""
    records: int = 0
    """Records that were read."""
    unchanged: int = 0
    """Of these, the ones that said nothing new."""
    natives: set[str] = field(default_factory=set)
    """The tool's ids of the records."""

    def add(self, other: "IntakeResult") -> None:
        """Add what became of other records."""
        self.events += other.events
        self.skipped += other.skipped
        self.rejected += other.rejected
        self.malformed += other.malformed
        self.unruled += other.unruled
        self.refusals += other.refusals[: _MAX_REFUSALS - len(self.refusals)]
        self.counted += other.counted
        self.records += other.records
        self.unchanged += other.unchanged
        self.natives |= other.natives

    def totals(self) -> dict[str, int]:
        """The results by kind, without those that did not occur."""
        counts = {EVENTS: self.events, REJECTED: self.rejected, **self.skipped}
        return {result: count for result, count in counts.items() if count}


class _Arrival(NamedTuple):
    """How a payload arrived: the arguments of `take`."""

    received: int
    clock: int | None = None
    stream: str = ""
    listed: int | None = None
    dead_letters: bool = True
    current: bool = False


class IndexNotMadeError(EvalAlignmentError):
    """The owner index does not have yet what Kafka has of the source."""

    exit_code = ExitCode.FAILED


class SourceIntake:
    """Takes payloads of one source, one after the other.

    Args:
        source: reads them. Its own index is not used.
        deliver: takes what they become.
        index: what its records stated before, its totals and its names without a rule. None keeps nothing, as only a
            source may whose records have no ids.
    """

    def __init__(self, source: ToolSource, deliver: Deliver, index: StoredIndex | None = None) -> None:
        self.source = source
        self.index = index
        self._deliver = deliver
        self.not_made: str | None = None
        """Why nothing can be taken: the index does not have yet what Kafka has of the source."""
        self.turn = asyncio.Lock()
        """Held while something is taken."""
        self._known: set[int] = set()
        """Skips and rejections of listed records that were counted."""
        self._refused: set[int] = set()
        """Facts that the broker refused as too large. They are not sent again before the process starts again."""

    async def take(
        self,
        content: bytes,
        received: int,
        clock: int | None = None,
        *,
        stream: str = "",
        listed: int | None = None,
        dead_letters: bool = True,
        current: bool = False,
    ) -> IntakeResult:
        """Take a payload; on return the broker has acknowledged its events.

        Args:
            content: the payload.
            received: when it arrived, in milliseconds; for a file, when it was made.
            clock: the broker's time, in milliseconds. None accepts every time.
            stream: the kind of records, where the tool lists several kinds.
            listed: the lowest time by which the tool lists these records, in milliseconds.
            dead_letters: whether what is rejected becomes dead letters. Otherwise the caller reports it to who sent it.
            current: whether the tool had no newer versions of the records at `received`; so it is for a stream.

        Raises UnknownShapeError for a payload that is none of the tool's, TooManyRejectedError for one of which more is
        rejected than becomes dead letters, IndexNotMadeError, and what `deliver` raises: then some of the events may
        have arrived, and taking the payload again is harmless.
        """
        if not stream:
            listed = received
        arrival = _Arrival(received, clock, stream, listed, dead_letters, current or stream != "")
        async with self._takes() as settled:
            # Not before its turn: records take several times the memory of their payload.
            records = await asyncio.to_thread(self.source.read, content)
            taken = IntakeResult(records=len(records), natives={record.native for record in records if record.native})
            taken.events, taken.counted = settled.events, settled.counted
            # A list of the tool is bounded by its pages, and is read again; its rejected records are told once.
            budget = DeadLetterBudget(records) if dead_letters and not stream else None
            for batch in _record_batches(records):
                taken.add(await self._take(batch, arrival, budget))
        taken.unchanged -= len(settled.natives & taken.natives)
        return taken

    async def settle(self) -> IntakeResult:
        """Send again what an error or the end of a process left without an acknowledgement; `take` begins with it too.

        Raises what `deliver` raises.
        """
        async with self._takes() as settled:
            return settled

    @asynccontextmanager
    async def _takes(self) -> AsyncIterator[IntakeResult]:
        """The turn to take something, and what was sent again before. Raises IndexNotMadeError."""
        async with self.turn if self.source.owns else nullcontext():
            if self.not_made is not None:
                raise IndexNotMadeError(self.not_made)
            yield await self._settle()

    async def retract_missing(
        self, seen: Container[str], received: int, *, stream: str = "", since: int | None = None
    ) -> IntakeResult:
        """Retract what the tool does not have any more.

        Args:
            seen: the tool's ids of all records that it has, without those that the index has noted as seen.
            received: when they were read, in milliseconds.
            stream: the kind of records that were read.
            since: the time in milliseconds from which on they were listed; None: all were.

        Raises what `deliver` raises.
        """
        assert self.index is not None, "a source without an index retracts nothing"
        async with self._takes() as taken:
            gone = [native for native in self.index.unseen(stream, since) if native not in seen]
            for natives in _batches(gone):
                taken.add(await self._retract(natives, received))
        return taken

    async def retract_unlisted(self, before: int, received: int) -> IntakeResult:
        """Retract the records that no list of the tool has, after all lists were read.

        Args:
            before: when the reading began, in milliseconds: what was pushed later may be missing in the lists.
            received: when they had been read, in milliseconds.

        Raises what `deliver` raises.
        """
        assert self.index is not None, "a source without an index retracts nothing"
        async with self._takes() as taken:
            for natives in _batches(list(self.index.unlisted(before))):
                taken.add(await self._retract(natives, received))
        return taken

    async def retract_all(self, received: int) -> IntakeResult:
        """Retract everything that the source said. Raises what `deliver` raises."""
        assert self.index is not None, "a source without an index retracts nothing"
        async with self._takes() as taken:
            for natives in _batches(list(self.index.natives())):
                taken.add(await self._retract(natives, received))
        return taken

    async def _take(
        self, records: Sequence[SourceRecord], arrival: "_Arrival", budget: DeadLetterBudget | None
    ) -> IntakeResult:
        result = await asyncio.to_thread(
            self._stage,
            lambda source: source.outcomes(records, arrival.received, arrival.clock, current=arrival.current),
        )
        seen = [record.native for record in records if record.native]
        if budget is not None:
            budget.spend(result.outcomes)
        taken = await self._send(result, seen, arrival)
        if budget is not None:
            budget.sent += taken.events
        taken.unchanged = len({record.native for record in records} - {each.native for each in result.outcomes})
        return taken

    async def _retract(self, natives: Sequence[str], received: int) -> IntakeResult:
        result = await asyncio.to_thread(self._stage, lambda source: source.retracted(natives, received))
        # The lists of the tool do not have them any more.
        return await self._send(result, natives, _Arrival(received))

    def _stage(self, outcomes: Callable[[ToolSource], Iterable[RecordOutcome]]) -> "_Staged":
        if self.index is None or not self.source.owns:
            return _Staged(IndexChanges(), list(outcomes(self.source)))
        staged = StagedIndex(self.index)
        return _Staged(staged.changes, list(outcomes(replace(self.source, index=staged))))

    async def _send(self, result: "_Staged", seen: Iterable[str], arrival: "_Arrival") -> IntakeResult:
        """Deliver the outcomes, count them, and remember them."""
        again = self._refused_before(result.outcomes) if arrival.stream else []
        outcomes = [each for each in result.outcomes if each.result not in again] if again else result.outcomes
        taken, events, _ = _counted(outcomes)
        fresh, known = self._fresh(outcomes, arrival)
        counted, _, rejected = _counted(fresh)
        taken.counted = Counter(counted.totals())
        if not arrival.dead_letters:
            rejected = []
        batch = pending_batch(
            result.changes,
            events,
            seen=seen,
            stream=arrival.stream,
            listed=arrival.listed,
            totals=taken.counted,
            unruled=counted.unruled,
            at=max(arrival.received, arrival.clock or 0),
        )
        if events and self.index is not None and self.source.owns:
            await _finished(self.index.prepare, batch)
        refused = (await self._deliver(Delivery(events, rejected)) or ()) if events or rejected else ()
        self._known = known
        self._note_refused(taken, refused)
        if self.index is not None:
            await _finished(self.index.commit, await self._without([*again, *refused], batch))
        return taken

    def _note_refused(self, taken: IntakeResult, refused: Collection[Fact]) -> None:
        """Count what the broker refused as rejected."""
        for kind, sign in ((EVENTS, -1), (REJECTED, +1)):
            taken.counted[kind] += sign * len(refused)
        taken.counted = +taken.counted
        taken.events -= len(refused)
        taken.rejected += len(refused)
        if len(self._refused) > _MAX_KNOWN:
            self._refused = set()
        self._refused.update(map(_statement, refused))

    async def _without(self, refused: Collection[Fact], batch: PendingBatch) -> PendingBatch:
        """The batch without what the broker refused: of these rows the index keeps what was stated before.

        So the record is read as changed until the broker takes them, and its retraction covers what Kafka has of it.
        """
        rows = {(facts.key(fact), facts.encode(fact)) for fact in refused}
        if not rows or self.index is None:
            return batch
        records = []
        for native, owned in batch.records:
            stands = tuple(row for row in owned.rows if (row.key, row.value) not in rows)
            gone = {row.key for row in owned.rows} - {row.key for row in stands}
            before = await asyncio.to_thread(self.index.get, native_text(native)) if gone else None
            former = () if before is None else tuple(row for row in before.rows if row.key in gone)
            records.append((native, msgspec.structs.replace(owned, rows=(*stands, *former)) if gone else owned))
        restated = [
            (native, [row for row in later if (row.key, row.value) not in rows]) for native, later in batch.restated
        ]
        fresh = sum(row in rows for row in batch.events)
        totals = Counter(batch.totals) + Counter({REJECTED: fresh}) - Counter({EVENTS: fresh}) if batch.totals else {}
        return msgspec.structs.replace(
            batch, records=records, restated=[each for each in restated if each[1]], totals=dict(totals)
        )

    def _refused_before(self, outcomes: Iterable[RecordOutcome]) -> list[Fact]:
        """The facts that the broker refused in this process: a list is read again and again."""
        if not self._refused:
            return []
        stated = [each.result for each in outcomes if isinstance(each.result, Annotation | Evaluation | QueueItem)]
        return [fact for fact in stated if _statement(fact) in self._refused]

    def _fresh(self, outcomes: Sequence[RecordOutcome], arrival: "_Arrival") -> tuple[list[RecordOutcome], set[int]]:
        """The outcomes without skips and rejections that a list had before, and those that are known with them.

        Lists are read again and again: what has no event is counted, and becomes a dead letter, once for each process.
        """
        if not arrival.stream:
            return [*outcomes], self._known
        events: list[RecordOutcome] = []
        others: dict[int, RecordOutcome] = {}
        for outcome in outcomes:
            if isinstance(outcome.result, Skip | EventRejection | Malformed):
                others[_mark(outcome)] = outcome
            else:
                events.append(outcome)
        fresh = [outcome for mark, outcome in others.items() if mark not in self._known]
        known = {*others} if len(self._known) > _MAX_KNOWN else {*self._known, *others} if fresh else self._known
        return [*events, *fresh], known

    async def _settle(self) -> IntakeResult:
        """Send again what was not acknowledged: it may have arrived, and its records may be deleted since."""
        taken = IntakeResult()
        if (
            self.index is not None
            and self.source.owns
            and (batch := await asyncio.to_thread(self.index.pending)) is not None
        ):
            sent = [facts.parse(key, value) for key, value in batch.events]
            refused = await self._deliver(Delivery(sent, ())) or ()
            await _finished(self.index.commit, await self._without(refused, batch))
            taken.events, taken.natives = len(batch.events), batch.natives()
            taken.counted[EVENTS] = taken.events
            self._note_refused(taken, refused)
        return taken


class _Staged(NamedTuple):
    """What records become, and how it changes the index."""

    changes: IndexChanges
    outcomes: Sequence[RecordOutcome]


async def _finished(change: Callable[[PendingBatch], None], batch: PendingBatch) -> None:
    """Change the index in a thread. A caller that is cancelled waits for it: what comes next must not overtake it."""
    running = asyncio.ensure_future(asyncio.to_thread(change, batch))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _counted(outcomes: Iterable[RecordOutcome]) -> tuple[IntakeResult, list[Fact], list[RecordOutcome]]:
    """The outcomes counted, the events, and what is rejected."""
    taken, events, rejected = IntakeResult(), list[Fact](), list[RecordOutcome]()
    for outcome in outcomes:
        match outcome.result:
            case Skip(reason, _, unruled):
                taken.skipped[reason.value] += 1
                if unruled is not None:
                    taken.unruled[unruled] += 1
            case EventRejection(rejection):
                rejected.append(outcome)
                taken.refusals.append(Refusal(outcome.native, rejection.reason.value, rejection.detail))
            case Malformed(why):
                rejected.append(outcome)
                taken.refusals.append(Refusal(outcome.native, Reason.UNKNOWN_SHAPE.value, why))
            case fact:
                events.append(fact)
    taken.events, taken.rejected = len(events), len(rejected)
    taken.malformed = sum(isinstance(outcome.result, Malformed) for outcome in rejected)
    return taken, events, rejected


def _statement(fact: Fact) -> int:
    """The same for the same row, also if it is stated at another time."""
    return hash((facts.key(fact), facts.encode(msgspec.structs.replace(fact, at=0, id=""))))


def _mark(outcome: RecordOutcome) -> int:
    """The same for the same skip or rejection of a record, also if its number on a page is another."""
    value = outcome.result.value if isinstance(outcome.result, Malformed) else b""
    return hash((outcome.native, _NUMBER.sub("", repr(outcome.result)), value))


def _record_batches(records: Sequence[SourceRecord]) -> Iterator[Sequence[SourceRecord]]:
    """Records with as many results together as a batch has records, or one record with more."""
    begin = size = 0
    for place, record in enumerate(records):
        size += max(1, len(record.results))
        if size > _BATCH and place > begin:
            yield records[begin:place]
            begin, size = place, max(1, len(record.results))
    if records[begin:]:
        yield records[begin:]


def _batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[start : start + _BATCH] for start in range(0, len(values), _BATCH))
