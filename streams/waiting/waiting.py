"""Evaluations of items that nobody has annotated wait in a store: what the engine does with it, in one place.

Known: an item with an annotation or a queue item, deleted or not. The orders of steps:

- evaluations of items that are not known (`put`): into the store, unless they are too old to be kept;
- an annotation or a queue item of such an item (`adopt`): look up, and without an await between, decode what was found
  by the settings of now, drop what is of another item or is no longer accepted, merge it; then the caller merges the
  row. So the row and what waited for it are dirty in the same checkpoint;
- a batch (`mark`, then `processed`): its offsets are covered, if the store is the one that it began with;
- a checkpoint: `note` in the moment in which it drains; `settle` once ledger and tallies are acknowledged;
- a flush: copy what is settled; the store makes its rows durable, then these positions. A rebuild merges into memory
  what no commit protects, so nothing but what is settled is ever written;
- a restore: `assigned` before the ledger is read, `WaitingPartition.replayed` while it is read, `restored` once the
  positions are known. What is owed is then looked up in pieces (`work_off`), and `rebuild` reads the gaps.

All methods are for the event loop, and none of them waits, except `flush`, `room` and `close`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from aggregator.facts import Evaluation, Fact
from aggregator.rows import Merge
from aggregator.shard import Shard
from aggregator.tallies import WaitingState
from streams.events.decoder import Decoder, Kind, Rejection
from streams.kafka.batches import Batch, Record
from streams.runtime.chunks import CHUNK_SECONDS
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from streams.runtime.metrics import WorkerMetrics
from streams.waiting.clock import SourceReach, clock
from streams.waiting.partition import Continuation, Noted, WaitingPartition
from streams.waiting.store import StoreAwayError, StoreLostError, StorePlace, WaitingStore

_log = logging.getLogger(__name__)

ADOPT_RECORDS: Final = 10_000
"""Records of one item that are merged together; the rest follows in pieces."""
WORK_OFF_RECORDS: Final = 500
"""Records of owed items that are merged between two awaits."""
WORK_OFF_STEP: Final = 10
"""Of these, records after which the time is looked at: one may move as many comparisons as its item has annotations."""
WORK_OFF_ITEMS: Final = 20
"""Owed items that are looked up between two awaits."""
FLUSH_BYTES: Final = 24 << 20
"""Bytes of waiting records after which they are made durable."""
FLUSH_SECONDS: Final = 900.0
"""Time after which they are made durable in any case."""
RETRY_SECONDS: Final = 30.0
"""Time after a failure of the store after which it is opened again."""
SEAL_SECONDS: Final = 60.0
"""Time between two looks for spans to compact."""
FULL_FLUSHES: Final = 3
"""How many times `FLUSH_BYTES` may wait for a flush before no further event is applied."""


@dataclass(slots=True)
class WaitingEvaluations:
    """What waits, of all partitions of a worker."""

    store: WaitingStore
    topic: str
    """The evaluations topic."""
    decoder: Decoder
    keep_ms: int
    """How long an evaluation waits, and a week more, in milliseconds of the broker's time."""
    metrics: WorkerMetrics
    max_dirty_rows: int
    """Dirty rows of all partitions above which a found record is merged later."""
    embedded: bool = False
    """Whether the broker keeps its topics in memory: only the store has what waits, and an error ends the worker."""
    on_step: Callable[[str], None] = lambda _: None
    """Called with the name of each completed step."""
    free_bytes: Callable[[], int] = lambda: 0
    """Returns the free bytes of the store's file system, or raises OSError."""
    before: int | None = None
    """Broker time in milliseconds; what is older is not kept."""
    _parts: dict[int, WaitingPartition] = field(default_factory=dict)
    _mark: int = 0
    _failed_at: float = float("-inf")
    _seen: tuple[int, bool] = (0, False)
    _closed: bool = False
    _stored: int = 0
    _flushed_at: float = field(init=False, default=0.0)
    _flushing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _due: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        # What is found was accepted before, with a report of its unknown fields.
        self.decoder = replace(self.decoder, on_unknown_fields=lambda _kind, _event: None)
        self._seen = (self.store.number, self.store.away is not None)
        self._flushed_at = time.monotonic()
        self.metrics.waiting_owed_items.set_function(lambda: self.owed_items)

    # ---- the store, and which one it is

    @property
    def mark(self) -> int:
        """A number that changes when the store is another one, away or back: what was noted before does not hold."""
        self._look()
        return self._mark

    @property
    def away(self) -> bool:
        """Whether the store cannot be used."""
        self._look()
        return self._seen[1]

    def _forget(self, partition: int) -> None:
        with suppress(StoreAwayError):
            self.store.forget(partition)

    def _look(self) -> None:
        """Notice that rows of the store were lost, that it is away, or that it is back."""
        number, why = self.store.number, self.store.away
        if (number, why is not None) == self._seen or self._closed:
            return
        if self.embedded:
            raise FatalError(
                ExitCode.UNEXPECTED, f"the store of waiting evaluations failed: {why or 'its rows were lost'}"
            )
        was_away = self._seen[1]
        self._seen = (number, why is not None)
        self._mark += 1
        if why is not None:
            self._failed_at = time.monotonic()
            self.metrics.waiting_store_failures.inc()
            _log.error("waiting evaluations are not kept until their store can be used again: %s", why)
        elif was_away:
            _log.info("the store of waiting evaluations can be used again: reading what it lacks")
        else:
            self.metrics.waiting_store_failures.inc()
            _log.error("the store of waiting evaluations is empty: reading everything again")
        for part in self._parts.values():
            kept = None if why is not None else self.store.settled(part.partition)
            if not part.begun:
                part.reread(kept, away=why is not None)
                continue
            if kept is not None and not part.accepts(kept):
                self._forget(part.partition)
                kept = None
            if part.store_changed(kept, away=why is not None):
                self.store.count_all(part.partition)

    def reopen(self) -> None:
        """Open the store again, if it is away and has not just failed."""
        if self.store.away is not None and time.monotonic() >= self._failed_at + RETRY_SECONDS:
            self.store.open()
            self._look()

    # ---- restore

    def assigned(self, partition: int, shard: Shard) -> WaitingPartition:
        """Begin with a partition whose ledger is not read yet."""
        away = self.away
        kept = None if away else self.store.settled(partition)
        part = self._parts[partition] = WaitingPartition(partition, shard, kept, unread=away)
        return part

    def keep(self, parts: Iterable[WaitingPartition]) -> None:
        """Drop all partitions but these."""
        self._parts = {part.partition: part for part in parts}

    def restored(self, part: WaitingPartition, place: Continuation, last: WaitingState | None = None) -> None:
        """Compare what the store has settled with the topics, now that it is known where the partition continues.

        What is of another topic, or of a topic that was cut off, is forgotten: its offsets are those of other events.
        So is what is of another ledger id. While the store is away, this is done once it can be read. `last` is what
        the last checkpoint marker reported.
        """
        part.report.continued(last)
        part.restored_at(place)
        kept = replace(part.settled, covered=part.covered) if part.begun else part.kept
        if (kept is None and not self.embedded) or (kept is not None and place.accepts(kept)):
            if part.begun:
                return
        elif self.embedded:
            # The rows are kept, and which items were looked up is not known any more.
            self._forget(part.partition)
            part.sweep_all()
            self.store.count_all(part.partition)
            kept = None
        else:
            self._forget(part.partition)
            part.forget_owed()
            kept = None
        if part.begin(place, kept, away=self.away):
            self.store.count_all(part.partition)

    # ---- the live path

    def receive(self, part: WaitingPartition, fact: Fact, record: Record) -> Merge | None:
        """Merge an accepted event; None if it waits for its item."""
        shard = part.shard
        if type(fact) is Evaluation:
            if not shard.has_item(fact.item):
                self.let_wait(part, [fact], [record])
                return None
            if self.decoder.metrics and self.decided_already(part, fact, record):
                return Merge.SUPERSEDED
        elif not shard.has_item(fact.item):
            self.adopt(part, record.key or b"")
        return shard.apply(fact)

    def let_wait(self, part: WaitingPartition, facts: Sequence[Evaluation], records: Sequence[Record]) -> None:
        """Let accepted evaluations wait, whose items are not known."""
        self.put(part, records)
        part.report.saw(*facts)

    def put(self, part: WaitingPartition, records: Sequence[Record]) -> None:
        """Let records wait, whose items are not known."""
        if self._seen[1]:
            return
        before = self.before
        if before is not None:
            records = [record for record in records if record.timestamp >= before]
        try:
            self.store.put(part.partition, *records)
        except (StoreAwayError, StoreLostError):
            self._look()
            return
        self._stored += len(records)

    def adopt(self, part: WaitingPartition, item: bytes) -> None:
        """Merge what waits for an item that becomes known. The caller merges its row without an await between."""
        if part.found:
            # There is memory for a part of one item at a time.
            part.owed[item.decode()] = None
            return
        started = time.perf_counter()
        if found := self._look_up(part, item):
            room = min(ADOPT_RECORDS, max(0, self.max_dirty_rows - self._dirty_rows()))
            self._merge_found(part, found[:room])
            part.found.extend(found[room:])
        if part.found or item.decode() in part.owed:
            self.on_step("adopted in part")
        self.metrics.adopt_seconds.observe(time.perf_counter() - started)

    def processed(self, part: WaitingPartition, batch: Batch, mark: int) -> None:
        """A batch is processed: its evaluations were put or merged, beginning with this mark."""
        if batch.topic != self.topic:
            return
        self._look()
        stored, self._stored = self._stored, 0
        self.metrics.waiting_stored.inc(stored)
        if self.store.unflushed_bytes >= FLUSH_BYTES:
            self._due.set()
        if mark == self._mark and not self._seen[1]:
            part.covered = part.covered.with_interval(batch.start, batch.next)

    def decided_already(self, part: WaitingPartition, fact: Evaluation, record: Record) -> bool:
        """Whether a setting decided on this evaluation, and its row has the same time and id.

        The setting may have been another one then. Decided again, old verdicts would turn around.
        """
        return (
            fact.metric in self.decoder.metrics
            and part.shard.has_another(fact)
            and self.decoder.decides_on(record.value, record.headers)
        )

    def merge(self, part: WaitingPartition, records: Sequence[Record]) -> int:
        """Merge records of items that are known, or become known; returns how many of them are accepted."""
        accepted = adopted = 0
        for record in records:
            # Not where it is: a partition accepts all events of the items that it knows.
            fact = self.decoder.decode(Kind.EVALUATION, record.value, record.key, record.headers, record.timestamp)
            if type(fact) is Rejection:
                continue
            assert type(fact) is Evaluation, "only evaluations wait"
            accepted += 1
            if self.decoder.metrics and self.decided_already(part, fact, record):
                continue
            adopted += part.shard.apply(fact) is Merge.APPLIED
        self.metrics.waiting_adopted.inc(adopted)
        return accepted

    def _merge_found(self, part: WaitingPartition, records: Sequence[Record]) -> None:
        # It was accepted when it came, so what is not accepted is no dead letter.
        self.metrics.waiting_undecided.inc(len(records) - self.merge(part, records))

    def _look_up(self, part: WaitingPartition, item: bytes, after: StorePlace | None = None) -> list[Record]:
        """The next part of what waits for an item, which is owed if there is more, or while the store is away."""
        if not self.away:
            try:
                found, rest = self.store.look_up(part.partition, item, after)
            except (StoreAwayError, StoreLostError):
                self._look()
            else:
                records = [record for record in found if record.key == item]
                if records:
                    self.store.adopted(part.partition, records)
                if rest is not None:
                    part.owed[item.decode()] = rest
                return records
        if self.away:
            part.owed[item.decode()] = None
        # Of a store that was lost, everything is a gap: the rebuild merges what is of this item.
        return []

    @property
    def may_merge(self) -> bool:
        """Whether dirty rows have room for those of records that were found or read again."""
        return self._dirty_rows() < self.max_dirty_rows

    @property
    def owed_items(self) -> int:
        """Number of items that are still to be looked up or merged; may be asked from any thread."""
        return sum(len(part.owed) + bool(part.found) for part in list(self._parts.values()))

    def _dirty_rows(self) -> int:
        return sum(len(part.shard.dirty) for part in self._parts.values())

    def missed(self, partition: int, number: int) -> None:
        """Evaluations of a partition are missing: not in the store, and not to be read again."""
        self.metrics.waiting_missing.inc(number)
        if (part := self._parts.get(partition)) is not None:
            part.report.missing += number

    # ---- what is owed

    def work_off(self, part: WaitingPartition) -> bool:
        """Merge the next records of what is owed; whether any work was done."""
        if not self.may_merge:
            return False
        worked = False
        items = WORK_OFF_ITEMS
        while part.owed and not part.found and items and not self.away:
            items -= 1
            item = next(iter(part.owed))
            after = part.owed.pop(item)
            worked = True
            if part.shard.has_item(item):
                part.found.extend(self._look_up(part, item.encode(), after))
                self.on_step("swept")
        if part.found:
            worked = True
            self._merge_some(part)
        return worked

    def _merge_some(self, part: WaitingPartition) -> None:
        """Merge the first records that were found, for as long as a chunk of live events may take."""
        until = time.monotonic() + CHUNK_SECONDS
        for first in range(0, min(WORK_OFF_RECORDS, len(part.found)), WORK_OFF_STEP):
            step = min(WORK_OFF_STEP, WORK_OFF_RECORDS - first, len(part.found))
            self._merge_found(part, [part.found.popleft() for _ in range(step)])
            if time.monotonic() >= until:
                break

    # ---- checkpoints

    def state(self, part: WaitingPartition, position: int) -> WaitingState | None:
        """What a checkpoint marker reports; `position` is the next evaluation to process."""
        for partition, given_up in self.store.take_given_up().items():
            self.missed(partition, given_up)
        evaluations = 0 if self.away else self.store.evaluations(part.partition)
        gaps = part.gaps(position).count if part.begun else 0
        return part.report.state(part.shard, evaluations, gaps, self.before, time.monotonic())

    def note(self, part: WaitingPartition, progress: Mapping[str, SourceReach]) -> Noted:
        """Take what is settled once the checkpoint that drains in this moment is acknowledged."""
        return part.note(self.mark, progress)

    def settle(self, part: WaitingPartition, noted: Noted, ledger_next: int) -> None:
        """The checkpoint is acknowledged: its rows and tallies are in their logs."""
        part.settle(noted, self.mark, ledger_next)
        self.on_step("settled")

    def secure(self) -> None:
        """On the embedded broker, write what waits before a checkpoint states that it is processed."""
        if self.embedded:
            with suppress(StoreAwayError):
                self.store.write_window()
            self._look()

    # ---- flushes

    @property
    def full(self) -> bool:
        """Whether so much waits for a flush that no further event may be applied."""
        return self.store.unflushed_bytes >= FULL_FLUSHES * FLUSH_BYTES and not self.away

    async def room(self) -> None:
        """Wait until there is room for further records."""
        while self.full:
            await self.flush()

    async def flush(self) -> None:
        """Make the rows of the store durable, then the positions that were settled when the flush began."""
        async with self._flushing:
            if self.away:
                return
            settled = {part.partition: part.settled for part in self._parts.values() if part.begun}
            mark = self._mark
            self._due.clear()
            await self.store.flush(settled)
            self._flushed_at = time.monotonic()
            if self.mark == mark:
                self.on_step("flushed")

    async def flush_when_due(self) -> None:
        """Flush until cancelled: when enough waits, and from time to time."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._flushed_at + FLUSH_SECONDS - time.monotonic())):
                    await self._due.wait()
            self._due.clear()
            self._flushed_at = time.monotonic()
            await self.flush()

    async def seal_when_due(self) -> None:
        """Compact what no longer grows, until cancelled."""
        while True:
            await asyncio.sleep(SEAL_SECONDS)
            await self.store.seal()

    async def close(self) -> None:
        """Give the directory of the store back. Nothing of the store is a failure afterwards."""
        async with self._flushing:
            self._closed = True
            await self.store.close()

    # ---- expiry

    def expire(self) -> None:
        """Drop what is too old, by the time that all sources of all partitions have reached."""
        reached = [part.progress for part in self._parts.values()]
        if None in reached:
            return
        now = clock((source for progress in reached for source in (progress or {}).values()), int(time.time() * 1000))
        if now is not None and not self.away:
            self.before = now - self.keep_ms
            self.store.expire(self.before)
            self._look()
