"""The store of waiting evaluations on disk: RocksDB, a database per span of broker time.

Its directory belongs to one worker name and has `lock`, `positions.json` and a directory per span. What is in it can
always be read again from the evaluations topic, so the store never repairs anything: what is damaged is deleted, and
what fails is tried again later.

A flush, in this order:

1. Copy the settled positions that the caller passes: everything that they cover is in the window by now, or was.
2. Write the window into the memory of the spans, in slices.
3. Make the memory of the spans files, in a thread.
4. Replace `positions.json`, in a thread, if the store is still the one that the positions are of.

So the positions on disk are never ahead of the rows on disk. A process that is killed loses what came since the
last flush, and its successor finds these offsets uncovered.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from streams.kafka.batches import Record
from streams.waiting.directory import StoreDirectory
from streams.waiting.positions import PositionsFile, SettledPositions, StorePositions
from streams.waiting.spans import Span, Spans, failure_of
from streams.waiting.store import Found, Settled, StoreAwayError, StoreLostError, StorePlace
from streams.waiting.threads import DiskJobs
from streams.waiting.window import EvaluationWindow, Group, RowPlace, epoch_of, group_of, hash_of, in_order

log = logging.getLogger(__name__)

SPANS_OF_KEEP: Final = 8
"""How many spans cover the time for which evaluations are kept."""
SEAL_AFTER_SECONDS: Final = 600.0
"""How long nothing must have come into a span before it is compacted."""
LOOK_UP_BYTES: Final = 4 << 20
"""Bytes of rows with which a part of a look-up ends: an item may have gigabytes."""
MIN_FREE_BYTES: Final = 1 << 30
"""Free space of the file system below which the oldest span is dropped."""

_FAILURES: Final = (OSError, StoreLostError, StoreAwayError)


class RocksStore:
    """A `WaitingStore` in a directory that no other process uses meanwhile."""

    def __init__(
        self,
        directory: Path,
        topic: str,
        partition_count: int,
        *,
        keep_ms: int,
        wal: bool = False,
        min_free_bytes: int = MIN_FREE_BYTES,
        seal_after_seconds: float = SEAL_AFTER_SECONDS,
    ) -> None:
        """`topic` and its `partition_count` are those of the evaluations: a directory of others is begun again.

        With `wal`, rows are durable once `write_window` returns, for a broker that keeps its topics in memory.
        """
        self.number = 0
        self._given_up: Counter[int] = Counter()
        self._away: str | None = "not opened yet"
        self._directory = StoreDirectory(directory)
        self._topic, self._partition_count = topic, partition_count
        self._span_ms = max(1, keep_ms // SPANS_OF_KEEP)
        self._wal = wal
        self._min_free_bytes = min_free_bytes
        self._seal_after_seconds = seal_after_seconds

        self._window = EvaluationWindow(self._span_ms)
        self._spans = Spans(directory, self._span_ms, wal=wal)
        self._written_bytes = 0
        """Bytes of the values that were written since the last flush."""
        self._file = PositionsFile(directory)
        self._positions = StorePositions.new(topic, partition_count)
        self._is_lost = False
        """Whether the directory is to be deleted, once no thread is in it."""
        self._forgotten: set[int] = set()
        """Partitions that were to be forgotten while the store was away."""

        self._jobs = DiskJobs()
        self._flushing = asyncio.Lock()
        self._sealing = asyncio.Lock()
        self._sealed: Span | None = None
        """The span that a thread compacts."""

    # What the caller is told

    @property
    def away(self) -> str | None:
        """Why the store cannot be used for now; None while it can."""
        return self._away

    @property
    def unflushed_bytes(self) -> int:
        """Bytes of the evaluations that the next flush makes durable."""
        return self._written_bytes + self._window.value_bytes

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of all files with rows; 0 while the store is away."""
        return 0 if self._away is not None else sum(span.bytes_on_disk for span in self._spans)

    @property
    def oldest_ms(self) -> int | None:
        """Broker time of about the oldest evaluation that is written; None for none."""
        return self._spans.oldest_ms

    def evaluations(self, partition: int | None = None) -> int:
        """Number of waiting evaluations, of one partition or of all, without those that were adopted.

        Read again, an evaluation counts twice, and after a crash some are not counted.
        """
        stored = self._window.evaluations(partition) + self._spans.evaluations(partition)
        return max(0, stored - self._positions.adopted(partition))

    def take_given_up(self) -> Mapping[int, int]:
        """Evaluations by partition that a nearly full file system has cost since the last call."""
        given_up, self._given_up = self._given_up, Counter()
        return given_up

    def settled(self, partition: int) -> Settled | None:
        """What the last flush kept for a partition; None if the store knows nothing of it, or is away."""
        positions = self._positions.partitions.get(partition)
        if self._away is not None or positions is None or positions.settled is None:
            return None
        return positions.settled.settled()

    # Open and give back

    def open(self) -> None:
        """Open the directory, or begin an empty one; `away` states why that failed."""
        if self._away is None:
            return
        try:
            self._open()
        except (OSError, StoreAwayError) as error:
            self._stay_away(str(error))
        else:
            log.info("opened the store of waiting evaluations %s: %d spans", self._directory.path, len(self._spans))

    def _open(self) -> None:
        if self._jobs:
            raise StoreAwayError("a thread of its last use has not ended")
        self._give_back()
        self._directory.lock()
        if self._is_lost or self._directory.is_new:
            self._begin_empty()
        elif (reason := self._read()) is not None:
            log.warning("the store of waiting evaluations begins empty: %s", reason)
            self.number += 1
            self._begin_empty()
        self._away = None
        for partition in list(self._forgotten):
            self._forget(partition)
        self._make_room()

    def _read(self) -> str | None:
        """Open what the directory has; returns why it cannot be used, for example because it is of another topic."""
        try:
            positions = self._file.read(self._topic, self._partition_count)
            self._spans.open(positions.spans)
        except StoreLostError as error:
            return str(error)
        self._positions = positions
        return None

    def _begin_empty(self) -> None:
        self._is_lost = True
        self._spans.close()
        self._directory.clear()
        self._positions = StorePositions.new(self._topic, self._partition_count)
        self._forgotten.clear()
        self._write_positions()
        self._is_lost = False

    def _give_back(self) -> None:
        """Close everything. No thread may be in it."""
        self._spans.close()
        self._directory.release()

    async def close(self) -> None:
        """Give the directory back, without a flush."""
        self.number += 1
        self._away = "closed"
        self._drop_window()
        if self._sealed is not None:
            self._sealed.stop()
        await self._jobs.join()
        self._give_back()

    # Failures

    def _fail(self, failure: StoreLostError | StoreAwayError) -> None:
        """Forget what is not durable, and begin an empty directory where rows are lost."""
        self.number += 1
        self._is_lost = self._is_lost or isinstance(failure, StoreLostError)
        self._stay_away(str(failure))
        if self._is_lost:
            log.warning("waiting evaluations are lost, and are read again from the topic: %s", failure)
            self.open()

    def _stay_away(self, reason: str) -> None:
        if reason != self._away:
            log.warning("the store of waiting evaluations is away: %s", reason)
        self._away = reason
        self._drop_window()
        if not self._jobs:
            self._give_back()

    def _drop_window(self) -> None:
        self._window = EvaluationWindow(self._span_ms)
        self._written_bytes = 0

    def _refuse_away(self) -> None:
        if self._away is not None:
            raise StoreAwayError(self._away)

    # Rows

    def put(self, partition: int, *records: Record) -> None:
        """Take records into the window. Raises StoreAwayError where a full window cannot be written."""
        self._refuse_away()
        left, place = iter(records), RowPlace(partition, self._positions.seed, self._positions.of(partition).epoch)
        while self._window.add(place, left):
            self._write(self._end_window if self._window.is_full() else self._write_slice)

    def _end_window(self) -> None:
        """Let a new window take what comes, and write the old one from now on."""
        self._write_all_slices()
        self._window.end()

    def _write_slice(self) -> bool:
        """Write the next slice; returns whether there was one."""
        piece = self._window.next_slice()
        if piece is None:
            return False
        self._spans.write(piece)
        self._written_bytes += piece.value_bytes
        return True

    def _write_all_slices(self) -> None:
        while self._write_slice():
            pass

    def write_window(self) -> None:
        """Write everything that was put. With a log of the database, it is durable when this returns.

        Raises StoreAwayError.
        """
        self._refuse_away()
        self._write(self._write_everything)

    def _write_everything(self) -> None:
        self._end_window()
        self._write_all_slices()
        if self._wal:
            # Rows of an epoch that the file does not have are never found.
            self._write_positions()
            for span in self._spans.unflushed():
                span.sync_log()

    def _write(self, step: Callable[[], object]) -> None:
        """Do a step that writes. Raises StoreAwayError, also where an empty store was begun."""
        failure: StoreLostError | StoreAwayError | None = None
        try:
            step()
        except _FAILURES as error:
            failure = failure_of(error)
        if failure is not None:
            self._fail(failure)
            raise StoreAwayError(str(failure))

    def look_up(self, partition: int, item: bytes, after: StorePlace | None = None) -> Found:
        """The next part of what waits of an item, by offset: see `WaitingStore`."""
        self._refuse_away()
        found = self._part(partition, item, after)
        if found.rest is not None and after is None and self._window.find(partition, item):
            # Only what is in a span has a place.
            self.write_window()
            found = self._part(partition, item, None)
        return found

    def _part(self, partition: int, item: bytes, after: StorePlace | None) -> Found:
        try:
            groups, rest = self._groups(partition, item, after)
            return Found(in_order(groups), rest)
        except _FAILURES as error:
            failure = failure_of(error)
        self._fail(failure)
        raise failure if self._away is None else StoreAwayError(self._away)

    def _groups(
        self, partition: int, item: bytes, after: StorePlace | None
    ) -> tuple[list[tuple[int, Group]], StorePlace | None]:
        """Groups of an item, each with the number of its epoch: two epochs may have the same offsets."""
        epochs, groups, rest = self._positions.epochs_of(partition), list[tuple[int, Group]](), None
        if epochs:
            rows, rest = self._spans.look_up(hash_of(item, self._positions.seed), after, LOOK_UP_BYTES)
            groups += [(epochs.index(at), group_of(value)) for key, value in rows if (at := epoch_of(key)) in epochs]
        if rest is None:
            groups += [(max(0, len(epochs) - 1), group) for group in self._window.find(partition, item)]
        return groups, rest

    def adopted(self, partition: int, records: Iterable[Record]) -> None:
        """Do not count these records any more: their item is known. They are found until they expire."""
        for number, count in Counter(record.timestamp // self._span_ms for record in records).items():
            self._positions.count_adopted(partition, number * self._span_ms, count)

    def count_all(self, partition: int) -> None:
        """Count everything of a partition again: all of its known items are going to be looked up."""
        self._positions.of(partition).adopted = {}

    # Positions

    def forget(self, partition: int) -> None:
        """Keep no positions of a partition, because its topic was created again: its rows are not found again.

        With `wal` they are: nothing else has them. Durable when it returns; while the store is away, once it is opened.
        """
        self._forgotten.add(partition)
        if self._away is None:
            self._write(lambda: self._forget(partition))

    def _forget(self, partition: int) -> None:
        # Slices have the old epoch.
        self._end_window()
        self._write_all_slices()
        self._positions.renew(partition, keep_rows=self._wal)
        if not self._wal:
            self._spans.forget(partition)
        self._write_positions()
        self._forgotten.discard(partition)

    def _encoded_positions(self) -> tuple[bytes, int]:
        """Positions as of now, and their version."""
        return self._file.encode(self._positions, [span.content for span in self._spans])

    def _write_positions(self) -> None:
        self._file.write(*self._encoded_positions())

    # Flush

    async def flush(self, settled: Mapping[int, Settled]) -> None:
        """Make all rows durable, then these positions, in this order. What fails is told by `away` and `number`."""
        await self._in_background(self._flushing, lambda: self._flush(settled))

    async def _in_background(self, lock: asyncio.Lock, step: Callable[[], Awaitable[None]]) -> None:
        """Do a step of one kind at a time, and note its failure if it is of this store still."""
        async with lock:
            if self._away is not None:
                return
            failure: StoreLostError | StoreAwayError | None = None
            number = self.number
            try:
                await step()
            except _FAILURES as error:
                failure = failure_of(error)
            if failure is not None and self._is_same(number):
                self._fail(failure)

    async def _flush(self, settled: Mapping[int, Settled]) -> None:
        number = self.number
        self._make_room()
        kept = {partition: (self._positions.of(partition).epoch, of) for partition, of in settled.items()}
        if not await self._write_out(number):
            return
        self._written_bytes = 0
        for span in self._spans.unflushed():
            if self._is_same(number) and span in self._spans:
                await self._jobs.run(span.flush)
        if not self._is_same(number):
            return
        for partition, (epoch, of) in kept.items():
            positions = self._positions.partitions[partition]
            # Another epoch: the partition was forgotten meanwhile.
            if positions.epoch == epoch:
                positions.settled = SettledPositions.of(of)
        encoded, version = self._encoded_positions()
        await self._jobs.run(lambda: self._file.write(encoded, version))

    def _is_same(self, number: int) -> bool:
        return self._away is None and self.number == number

    async def _write_out(self, number: int) -> bool:
        """Write the window as it is now, slice by slice between other tasks; returns whether the store is the same."""
        self._end_window()
        window = self._window.written
        while self._is_same(number):
            # A `put` in between may write the last slice, and end the next window.
            if self._window.written is not window or not self._write_slice():
                return True
            await asyncio.sleep(0)
        return False

    # Age

    def expire(self, before: int) -> None:
        """Drop the spans that end before this broker time in milliseconds."""
        if self._away is not None:
            return
        with contextlib.suppress(StoreAwayError):
            self._write(lambda: self._expire(before))

    def _expire(self, before: int) -> None:
        if spans := self._spans.ended(before):
            log.info("drop %d spans of waiting evaluations that end before %d", len(spans), before)
            self._spans.take_out(spans)
            # First: a span that is listed and missing is damage.
            self._write_positions()
        # A thread may be in one of them; then it is deleted the next time.
        if not self._jobs:
            self._spans.delete_taken_out()

    def _make_room(self) -> None:
        """Drop the oldest spans while the file system is nearly full; the newest one stays."""
        while len(self._spans) > 1 and not self._jobs and self._directory.free_bytes < self._min_free_bytes:
            oldest = next(iter(self._spans))
            before = {partition: self.evaluations(partition) for partition in oldest.content.evaluations}
            self._spans.take_out([oldest])
            # Where there is no space at all, the file can only be written afterwards.
            with contextlib.suppress(OSError):
                self._write_positions()
            given_up = Counter({partition: count - self.evaluations(partition) for partition, count in before.items()})
            self._given_up += given_up
            count, end = given_up.total(), oldest.content.end
            log.warning("the disk is nearly full: drop %d waiting evaluations before %d", count, end)
            self._spans.delete_taken_out()
            self._write_positions()

    async def seal(self) -> None:
        """Compact the spans into which nothing comes any more, in a thread. To be called every minute or so."""
        await self._in_background(self._sealing, self._seal)

    async def _seal(self) -> None:
        number = self.number
        for span in self._spans.to_seal(self._seal_after_seconds):
            if self._is_same(number) and span in self._spans:
                self._sealed = span
                # Cancelled, it runs on, and `close` ends it.
                await self._jobs.run(span.seal)
                self._sealed = None
