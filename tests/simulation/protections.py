"""Each protection of the product, taken away: the simulation must then find a broken promise.

A removal is a context manager around histories. It changes what the product does, as if the protection had been
forgotten, and nothing else.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final
from unittest.mock import patch

from faust.types import TP

from aggregator.tallies_log import TalliesReader
from sinks.store.tail import Tail, stamped
from streams.engine.engine import Engine
from streams.engine.partition import OwnedPartition
from streams.engine.restore import Restore
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

    async def append(self: Log, rows: Iterable[LogRow]) -> None:
        acknowledgements = []
        for batch in self._batches(rows):
            future = await self._producer.send_batch(batch, self.topic, partition=self.partition)
            acknowledgements.append((future, batch.record_count()))
        for future, count in acknowledgements:
            self.next = (await future).offset + count

    with patch.object(Log, "append", append):
        yield


@contextlib.contextmanager
def no_fence() -> Iterator[None]:
    """Nobody compares the ends of the logs with what was written."""
    look = Watchdog._look_at_broker

    async def unfenced(self: Watchdog) -> None:
        self.fenced = False
        await look(self)

    with patch.object(Watchdog, "_look_at_broker", unfenced):
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
    """What a predecessor published is taken as right."""

    async def nothing(self: Restore, taken: Iterable[OwnedPartition]) -> None:
        await self._published(list(taken))
        for owned in taken:
            owned.shard.dirty.update(owned.shard.drain().rows)

    with patch.object(Restore, "_compare", nothing):
        yield


@contextlib.contextmanager
def no_late_tallies() -> Iterator[None]:
    """That the log ends with a predecessor's late tally does not matter, as long as readers know better."""
    with patch.object(Published, "on_late", TalliesReader.on_late):
        yield


@contextlib.contextmanager
def no_second_look() -> Iterator[None]:
    """What looks like a lost ledger is told at once, also by a worker that stood still while its successor wrote."""

    async def believe(self: Restore, partitions: Iterable[OwnedPartition]) -> None:
        del self, partitions

    with patch.object(Restore, "_expect_alone", believe):
        yield


@contextlib.contextmanager
def no_closed() -> Iterator[None]:
    """A reader shows each tally as soon as it has read it."""
    step = Tail.step

    def open_too(self: Tail) -> Any:
        found = step(self)
        read = self.ledgers.get(self.ledger or "")
        if found is not None and read is not None:
            # Together with what is closed: a store takes nothing else.
            found.tallies.update(stamped(read.open))
        return found

    with patch.object(Tail, "step", open_too):
        yield


@contextlib.contextmanager
def no_place() -> Iterator[None]:
    """A `closed` is believed wherever it stands."""
    believe = lambda closed, offset: True  # noqa: ARG005, E731
    with patch("aggregator.tallies_log.in_place", believe):
        yield


@contextlib.contextmanager
def no_generation() -> Iterator[None]:
    """A batch from a former generation is as good as any."""
    fold = Engine._fold

    async def any_generation(self: Engine, batch: Batch) -> None:
        batch.generation = self.generation if self.generation is not None else -1
        await fold(self, batch)

    with patch.object(Engine, "_fold", any_generation):
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
def no_start() -> Iterator[None]:
    """A batch that starts behind what was expected is taken for the next one."""
    fold = Engine._fold

    async def any_start(self: Engine, batch: Batch) -> None:
        owned = self._owned.get(batch.partition)
        if owned is not None:
            batch.start = min(batch.start, owned.positions.get(batch.topic, 0))
        await fold(self, batch)

    with patch.object(Engine, "_fold", any_start):
        yield


@contextlib.contextmanager
def both(*removals: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Several removals at once."""
    with contextlib.ExitStack() as stack:
        for removal in removals:
            stack.enter_context(removal())
        yield


@contextlib.contextmanager
def no_lag() -> Iterator[None]:
    """Compaction takes whatever is there."""
    with patch("tests.simulation.world.LAG_SECONDS", -1.0):
        yield


REMOVALS: Final[Mapping[str, Callable[[], AbstractContextManager[None]]]] = {
    "place of a closed": no_place,
    "continuity of acknowledgements": no_continuity,
    "idle fence": no_fence,
    "repair of losing rows": no_repair,
    "differences against the own tallies": no_differences,
    "late tallies": no_late_tallies,
    "closed": no_closed,
    "seek and start": lambda: both(no_seek, no_start),
}
"""Without these a count is wrong, or an event is lost; by the name of the protection."""

DOUBLED: Final[Mapping[str, tuple[Callable[[], AbstractContextManager[None]], ...]]] = {"claim": (no_claim, no_place)}
"""A protection, and the second net behind it: with the second alone missing, the same history is right.

What a predecessor publishes late is caught twice: by the claim, which gives its successor higher positions, and by the
place of the successor's `closed`.
"""

ALARMS: Final[Mapping[str, Callable[[], AbstractContextManager[None]]]] = {
    "second look at a lost ledger": no_second_look,
    "generation": no_generation,
    "seek of never committed partitions": no_seek,
    "compaction lag": no_lag,
}
"""Without these a worker ends, and asks an operator for help that it does not need: another check finds the fault.

Behind generation and seek that is the check of a batch's start: a log never changes, so a batch that does not start
behind the position is a replay at worst, of any generation. Behind the lag it is the repair, which misses a winner.
"""
