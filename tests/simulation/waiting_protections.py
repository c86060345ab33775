"""The protections of waiting evaluations, each with a history that breaks a promise without it.

As in `protections`, a removal is a context manager that changes the product as if the protection had been forgotten.
What a store on disk protects by itself is removed from the simulated one.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from aggregator.facts import Fact
from streams.engine.engine import Engine
from streams.engine.partition import OwnedPartition
from streams.kafka.batches import Batch, Record
from streams.kafka.dead_letters import RejectedRecord
from streams.waiting.coverage import OffsetRanges
from streams.waiting.partition import Noted, WaitingPartition
from streams.waiting.rebuild import Rebuild
from streams.waiting.store import Found, Settled, StorePlace
from streams.waiting.waiting import WaitingEvaluations
from tests.simulation import waiting_world
from tests.simulation.disks import FakeStore
from tests.simulation.history import installed, simulate_waiting
from tests.simulation.process import TOPICS
from tests.simulation.viewer import NeedlessEnd, Wrong
from tests.simulation.waiting_world import WAIT_SECONDS

Removal = Callable[[], AbstractContextManager[object]]


def no_gap() -> AbstractContextManager[object]:
    """What the store lacks is not read again."""
    return patch.object(WaitingPartition, "gaps", lambda _self, _position: OffsetRanges())


def no_intervals() -> AbstractContextManager[object]:
    """Coverage is one position: a store that is half rebuilt counts as whole."""
    cover = WaitingPartition._cover_again

    def below_the_last(self: WaitingPartition, kept: Settled | None) -> None:
        whole = None if kept is None else replace(kept, covered=OffsetRanges.of([(0, kept.covered.end)]))
        cover(self, whole)

    return patch.object(WaitingPartition, "_cover_again", below_the_last)


@contextlib.contextmanager
def no_late_merge() -> Iterator[None]:
    """What is read again of a known item is stored."""
    fold, merge, rebuilding = Rebuild._fold_piece, WaitingEvaluations.merge, [False]

    def mark(self: Rebuild, gap: Any, records: Sequence[Record]) -> bool:
        rebuilding[0] = True
        try:
            return fold(self, gap, records)
        finally:
            rebuilding[0] = False

    def store(self: WaitingEvaluations, part: WaitingPartition, records: Sequence[Record]) -> int:
        if not rebuilding[0]:
            return merge(self, part, records)
        self.put(part, records)
        return 0

    with patch.object(Rebuild, "_fold_piece", mark), patch.object(WaitingEvaluations, "merge", store):
        yield


def no_sweep() -> AbstractContextManager[object]:
    """Items that became known since the store was last asked for all of them are not looked up."""
    return patch.object(WaitingPartition, "replayed", lambda _self, _records: None)


def no_hold() -> AbstractContextManager[object]:
    """The ledger offset up to which everything is adopted moves on while an adopt is owed."""
    note = WaitingPartition.note

    def not_owing(self: WaitingPartition, *args: Any) -> Noted:
        return replace(note(self, *args), owes=False)

    return patch.object(WaitingPartition, "note", not_owing)


def no_acknowledgement() -> AbstractContextManager[object]:
    """A flush keeps what is covered now, before the ledger has what a rebuild merged."""
    flush = WaitingEvaluations.flush

    async def of_now(self: WaitingEvaluations) -> None:
        for part in self._parts.values():
            part.settled = replace(part.settled, covered=part.covered)
        await flush(self)

    return patch.object(WaitingEvaluations, "flush", of_now)


def not_the_same() -> AbstractContextManager[object]:
    """What a checkpoint noted of a store counts for the one that follows it."""
    settle = WaitingPartition.settle

    def of_any(self: WaitingPartition, noted: Noted, store: int, ledger_next: int) -> None:
        settle(self, replace(noted, store=store), store, ledger_next)

    return patch.object(WaitingPartition, "settle", of_any)


class _Now(Mapping[int, Settled]):
    """What is settled when it is asked for."""

    def __init__(self, waiting: WaitingEvaluations) -> None:
        self._parts = {part.partition: part for part in waiting._parts.values() if part.begun}

    def __getitem__(self, partition: int) -> Settled:
        return self._parts[partition].settled

    def __iter__(self) -> Iterator[int]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


@contextlib.contextmanager
def no_snapshot() -> Iterator[None]:
    """The positions that a flush writes are those of its end."""
    flush, write = WaitingEvaluations.flush, FakeStore.flush
    flushed: dict[int, WaitingEvaluations] = {}

    async def note(self: WaitingEvaluations) -> None:
        flushed[id(self.store)] = self
        await flush(self)

    async def at_the_end(self: FakeStore, settled: Mapping[int, Settled]) -> None:
        del settled
        await write(self, _Now(flushed[id(self)]))

    with patch.object(WaitingEvaluations, "flush", note), patch.object(FakeStore, "flush", at_the_end):
        yield


def no_order() -> AbstractContextManager[object]:
    """The positions are durable before the rows."""
    in_order = FakeStore.in_order

    def positions_first(self: FakeStore, *args: Any) -> list[Any]:
        *rows, positions = in_order(self, *args)
        return [positions, *rows]

    return patch.object(FakeStore, "in_order", positions_first)


def no_kept_rows() -> AbstractContextManager[object]:
    """What was looked up is deleted from the store."""
    look_up = FakeStore.look_up

    def take(self: FakeStore, partition: int, item: bytes, after: StorePlace | None = None) -> Found:
        found = look_up(self, partition, item, after)
        for rows in (self._disk.rows, self._memtables, self._window):
            for key in [key for key, record in rows.items() if record.key == item and key[0] == partition]:
                del rows[key]
        return found

    return patch.object(FakeStore, "look_up", take)


def not_strict() -> AbstractContextManager[object]:
    """An item with any row is known."""
    replayed = WaitingPartition.replayed

    def evaluations_too(self: WaitingPartition, records: Sequence[Record]) -> None:
        replayed(self, records)
        for name in list(self.shard._apart):
            self.shard._new_item(name)

    return patch.object(WaitingPartition, "replayed", evaluations_too)


@contextlib.contextmanager
def an_await() -> Iterator[None]:
    """Other work is done between looking an item up and its becoming known."""
    apply, look_up = Engine._apply_records, WaitingEvaluations._look_up
    ahead: dict[bytes, list[Record]] = {}

    async def after_a_while(self: Engine, owned: OwnedPartition, batch: Batch) -> list[RejectedRecord] | None:
        waiting, part = self._waiting, owned.waiting
        if batch.topic == TOPICS.evaluations or waiting is None or part is None:
            return await apply(self, owned, batch)
        keys = {record.key for record in batch.records if record.key is not None}
        found = {key: look_up(waiting, part, key) for key in sorted(keys) if not part.shard.has_item(key.decode())}
        await asyncio.sleep(0.5)
        ahead.update(found)
        try:
            return await apply(self, owned, batch)
        finally:
            ahead.clear()

    def looked_up(
        self: WaitingEvaluations, part: WaitingPartition, item: bytes, after: StorePlace | None = None
    ) -> list[Record]:
        return ahead.pop(item) if item in ahead else look_up(self, part, item, after)

    with (
        patch.object(Engine, "_apply_records", after_a_while),
        patch.object(WaitingEvaluations, "_look_up", looked_up),
    ):
        yield


def no_status() -> AbstractContextManager[object]:
    """An iterator that meets a damaged block just ends."""
    return patch.object(FakeStore, "asks_for_errors", lambda _self: False)


class _Any(bytes):
    """An item that every record is of."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = bytes.__hash__


def no_item_check() -> AbstractContextManager[object]:
    """What is found under a hash is merged, of whichever item it is."""
    look_up = WaitingEvaluations._look_up

    def of_any_item(
        self: WaitingEvaluations, part: WaitingPartition, item: bytes, after: StorePlace | None = None
    ) -> list[Record]:
        return look_up(self, part, _Any(item), after)

    return patch.object(WaitingEvaluations, "_look_up", of_any_item)


def not_committed_only() -> AbstractContextManager[object]:
    """A rebuild reads records of aborted transactions."""
    return patch("tests.simulation.process.reads_committed", lambda: False)


def decided_again() -> AbstractContextManager[object]:
    """A setting decides again on an evaluation that it has decided on."""
    return patch.object(WaitingEvaluations, "decided_already", lambda *_: False)


@contextlib.contextmanager
def times_compared() -> Iterator[None]:
    """What came longer than the wait before the event that makes its item known is not merged."""
    receive, look_up = WaitingEvaluations.receive, WaitingEvaluations._look_up
    now: list[int] = [0]

    def note(self: WaitingEvaluations, part: WaitingPartition, fact: Fact, record: Record) -> Any:
        now[0] = record.timestamp
        try:
            return receive(self, part, fact, record)
        finally:
            now[0] = 0

    def in_time(
        self: WaitingEvaluations, part: WaitingPartition, item: bytes, after: StorePlace | None = None
    ) -> list[Record]:
        least = now[0] - WAIT_SECONDS * 1000
        return [record for record in look_up(self, part, item, after) if record.timestamp >= least]

    with patch.object(WaitingEvaluations, "receive", note), patch.object(WaitingEvaluations, "_look_up", in_time):
        yield


def no_slack_of_the_topic() -> AbstractContextManager[object]:
    """The topic keeps evaluations for the wait alone."""
    return patch.object(waiting_world, "topic_keep_seconds", WAIT_SECONDS)


def no_slack_of_the_store() -> AbstractContextManager[object]:
    """The store keeps evaluations for the wait alone."""
    return patch.object(waiting_world, "store_keep_seconds", WAIT_SECONDS)


def no_slowest_source() -> AbstractContextManager[object]:
    """Evaluations expire by this machine's clock."""
    return patch("streams.waiting.waiting.clock", lambda _sources, wall_ms: wall_ms)


def not_missed() -> AbstractContextManager[object]:
    """An item that becomes known while the store is away is not looked up later."""
    adopt = WaitingEvaluations.adopt

    def forget(self: WaitingEvaluations, part: WaitingPartition, item: bytes) -> None:
        adopt(self, part, item)
        if self.away:
            part.owed.pop(item.decode(), None)

    return patch.object(WaitingEvaluations, "adopt", forget)


def no_window() -> AbstractContextManager[object]:
    """A look-up does not find what is not written yet."""
    return patch.object(FakeStore, "looked_into", lambda self: (self._disk.rows, self._memtables))


WAITING_REMOVALS: Final[Mapping[str, Removal]] = {
    "gap": no_gap,
    "intervals": no_intervals,
    "late merge": no_late_merge,
    "sweep": no_sweep,
    "hold of the adopted offset": no_hold,
    "order of a flush": no_order,
    "kept rows": no_kept_rows,
    "strictly known": not_strict,
    "no await": an_await,
    "status of an iterator": no_status,
    "item check": no_item_check,
    "read committed": not_committed_only,
    "decided once": decided_again,
    "no times compared": times_compared,
    "slack of the topic": no_slack_of_the_topic,
    "slack of the store": no_slack_of_the_store,
    "slowest source": no_slowest_source,
    "missed while away": not_missed,
    "window": no_window,
    "acknowledged coverage": no_acknowledgement,
    "same store": not_the_same,
    "snapshot of the positions": no_snapshot,
}
"""Protections of waiting evaluations, by name."""

SEEDS: Final[Mapping[str, tuple[str, int]]] = {
    "gap": ("wipe", 0),
    "intervals": ("wipe", 91),
    "late merge": ("wipe", 9),
    "sweep": ("flush", 7),
    "hold of the adopted offset": ("flush", 38),
    "order of a flush": ("flush", 34),
    "kept rows": ("tear", 0),
    "strictly known": ("tear", 12),
    "no await": ("wipe", 12),
    "status of an iterator": ("damage", 0),
    "item check": ("tear", 4),
    "read committed": ("wipe", 1),
    "decided once": ("", 62),
    "no times compared": ("order", 0),
    "slack of the topic": ("wipe", 67),
    "slack of the store": ("away", 36),
    "slowest source": ("calm", 0),
    "missed while away": ("away", 0),
    "window": ("tear", 0),
    "acknowledged coverage": ("unacknowledged", 0),
    "same store": ("other store", 7),
    "snapshot of the positions": ("late", 0),
}
"""By protection, the plot and the seed of a history that breaks a promise without it.

They change with the histories: `python -m tests.simulation --protections` looks for new ones.
"""


def broken_without(protection: str, *, most: int = 1) -> tuple[str, int, str] | None:
    """Plot and seed of a history that breaks a promise without a protection, and the promise.

    Args:
        protection: its name.
        most: how many seeds to try, from the known one on.
    """
    plot, first = SEEDS.get(protection, ("", 0))
    with installed(), WAITING_REMOVALS[protection]():
        for seed in range(first, first + most):
            try:
                simulate_waiting(seed, plot=plot)
            except NeedlessEnd:
                continue
            except Wrong as wrong:
                return plot, seed, str(wrong)
    return None
