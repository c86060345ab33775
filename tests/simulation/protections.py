"""Each protection of the product can be removed: the simulation must then find a broken promise.

A removal is a context manager around histories. It changes the product as if the protection had been forgotten, and
nothing else.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from faust.types import TP

from aggregator.tallies_log import TalliesReader
from sinks.store.tail import Tail, stamped
from streams.engine.completeness import Completeness
from streams.engine.engine import Engine
from streams.engine.partition import OwnedPartition
from streams.engine.restore import Restore
from streams.engine.start import Known, Start, start_of
from streams.engine.watchdog import Watchdog
from streams.kafka.batches import Batch
from streams.ledger.log import Log, LogRow
from streams.ledger.published import Published
from tests.simulation.coordinator import MemberGroup


@contextlib.contextmanager
def no_claim() -> Iterator[None]:
    """A ledger is claimed once, by its first owner; later ones take its ledger id and write."""
    claim = Restore._claim

    async def only_first(self: Restore, taken: Iterable[OwnedPartition]) -> None:
        await claim(self, [owned for owned in taken if owned.claim is None])

    with patch.object(Restore, "_claim", only_first):
        yield


@contextlib.contextmanager
def no_continuity() -> Iterator[None]:
    """A writer believes that its records are where it expected them."""

    async def append(self: Log, rows: Iterable[LogRow]) -> int:
        acknowledgements = []
        for batch in self._batches(rows):
            future = await self._producer.send_batch(batch, self.topic, partition=self.partition)
            acknowledgements.append((future, batch.record_count(), batch.size()))
        for future, count, _ in acknowledgements:
            self.next = (await future).offset + count
        return sum(size for _, _, size in acknowledgements)

    with patch.object(Log, "append", append):
        yield


@contextlib.contextmanager
def no_fence() -> Iterator[None]:
    """The ends of the logs are not compared with what was written."""
    look = Watchdog._check_logs

    async def unfenced(self: Watchdog) -> None:
        self.fenced = False
        await look(self)

    with patch.object(Watchdog, "_check_logs", unfenced):
        yield


@contextlib.contextmanager
def no_repair() -> Iterator[None]:
    """A row that lost against a later, older record is not written again."""

    async def nothing(self: Restore, taken: Iterable[OwnedPartition]) -> None:
        del self
        for owned in taken:
            owned.shard.needs_rewrite.clear()

    with patch.object(Restore, "_repair", nothing):
        yield


@contextlib.contextmanager
def no_differences() -> Iterator[None]:
    """The tallies that a predecessor published are taken as right."""

    async def nothing(self: Restore, taken: Sequence[OwnedPartition]) -> Mapping[int, Published]:
        published = await self._published(taken)
        for owned in taken:
            owned.complete.restored(published[owned.partition].complete)
            owned.shard.settle().drain()
        return published

    with patch.object(Restore, "_compare", nothing):
        yield


@contextlib.contextmanager
def no_late_tallies() -> Iterator[None]:
    """A predecessor's late tally at the end of the log is left, as readers ignore it."""
    with patch.object(Published, "on_late", TalliesReader.on_late):
        yield


@contextlib.contextmanager
def no_second_look() -> Iterator[None]:
    """An apparent loss of the ledger is reported immediately, even by a worker that slept while its successor wrote."""

    async def believe(self: Restore, partitions: Iterable[OwnedPartition]) -> None:
        del self, partitions

    with patch.object(Restore, "_expect_alone", believe):
        yield


@contextlib.contextmanager
def no_marker() -> Iterator[None]:
    """A reader shows each tally as soon as it has read it."""
    step = Tail.step

    def open_too(self: Tail) -> Any:
        result = step(self)
        read = self.ledgers.get(self.ledger or "")
        if result is not None and read is not None:
            # Together with closed tallies: a store accepts nothing else.
            result.tallies.update(stamped(read.open, knows=True)[0])
        return result

    with patch.object(Tail, "step", open_too):
        yield


@contextlib.contextmanager
def no_place() -> Iterator[None]:
    """A checkpoint marker is accepted at any offset."""
    believe = lambda marker, offset: True  # noqa: ARG005, E731
    with patch("aggregator.tallies_log.in_place", believe):
        yield


@contextlib.contextmanager
def no_generation() -> Iterator[None]:
    """A batch of a former generation is processed."""
    apply = Engine._apply

    async def any_generation(self: Engine, batch: Batch) -> None:
        generation = self._owned.generation
        batch.generation = generation if generation is not None else -1
        await apply(self, batch)

    with patch.object(Engine, "_apply", any_generation):
        yield


@contextlib.contextmanager
def no_seek() -> Iterator[None]:
    """As Faust does, only partitions with a committed offset are sought."""
    seek = MemberGroup.seek

    async def only_committed(self: MemberGroup, positions: Mapping[TP, int]) -> None:
        await seek(self, {tp: offset for tp, offset in positions.items() if tp in self._broker.committed})

    with patch.object(MemberGroup, "seek", only_committed):
        yield


@contextlib.contextmanager
def no_tallied_position() -> Iterator[None]:
    """A partition starts at its committed offset, and ignores what its tallies carry."""

    def committed_only(known: Known) -> Start:
        return start_of(replace(known, tallied=None, marked=True))

    with patch("streams.engine.restore.start_of", committed_only):
        yield


@contextlib.contextmanager
def no_start() -> Iterator[None]:
    """A batch that starts after the expected offset is taken for the next one."""
    apply = Engine._apply

    async def any_start(self: Engine, batch: Batch) -> None:
        owned = self._owned.get(batch.partition)
        if owned is not None:
            batch.start = min(batch.start, owned.positions.get(batch.topic, 0))
        await apply(self, batch)

    with patch.object(Engine, "_apply", any_start):
        yield


@contextlib.contextmanager
def heartbeat() -> Iterator[None]:
    """A checkpoint marker states the present, although events wait."""
    with patch.object(Completeness, "at", lambda _, now: int(now.wall_ms)):
        yield


@contextlib.contextmanager
def both(*removals: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Several removals together."""
    with contextlib.ExitStack() as stack:
        for removal in removals:
            stack.enter_context(removal())
        yield


@contextlib.contextmanager
def no_lag() -> Iterator[None]:
    """Compaction ignores the minimum lag."""
    with patch("tests.simulation.world.LAG_SECONDS", -1.0):
        yield


@contextlib.contextmanager
def sliced() -> Iterator[None]:
    """No protection is missing, and what is done in slices takes its time."""

    async def slowly(steps: Iterable[object]) -> None:
        for _ in steps:
            await asyncio.sleep(0.01)

    with (
        patch("streams.engine.checkpoint.run_in_slices", slowly),
        patch("streams.engine.restore.run_in_slices", slowly),
    ):
        yield


@contextlib.contextmanager
def no_freeze() -> Iterator[None]:
    """Events are applied to a partition while its tallies are taken in slices."""

    async def at_once(_: OwnedPartition) -> None:
        pass

    with sliced(), patch.object(OwnedPartition, "thawed", at_once):
        yield


REMOVALS: Final[Mapping[str, Callable[[], AbstractContextManager[None]]]] = {
    "place of a checkpoint marker": no_place,
    "continuity of acknowledgements": no_continuity,
    "idle fence": no_fence,
    "rewrite of rows that compaction would lose": no_repair,
    "differences from the published tallies": no_differences,
    "late tallies": no_late_tallies,
    "checkpoint marker": no_marker,
    "seek and start": lambda: both(no_seek, no_start),
    "position of the tallies": no_tallied_position,
    "time of the oldest waiting event": heartbeat,
    "compaction lag": no_lag,
    "frozen partition": no_freeze,
}
"""Protections without which a count is wrong, an event is lost, or an old state is called fresh, by name."""

DOUBLED: Final[Mapping[str, tuple[Callable[[], AbstractContextManager[None]], ...]]] = {"claim": (no_claim, no_place)}
"""A protection with its second safety net: with only the second missing, the same history is right.

A late tally of a predecessor is caught twice: by the claim, through which its successor has higher positions, and by
the place of the successor's checkpoint marker.
"""

ALARMS: Final[Mapping[str, Callable[[], AbstractContextManager[None]]]] = {
    "second look at a lost ledger": no_second_look,
    "generation": no_generation,
    "seek of never committed partitions": no_seek,
}
"""Protections without which a worker ends needlessly: another check finds the fault, and an operator is called.

For generation and seek, that check is the start of a batch: a log never changes, so a batch that does not start after
the position is a replay at worst, of any generation.
"""
