"""The simulated store keeps what the protocol of stores states, and its disk forgets what a real one may forget."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streams.waiting.coverage import OffsetRanges
from streams.waiting.store import Settled, StoreAwayError, StoreLostError, WaitingStore
from tests.simulation import clock
from tests.simulation.broker import Stored
from tests.simulation.disks import STORE_PLACES, Disk, FakeStore, hash_of
from tests.simulation.lifeline import Killed, Lifeline
from tests.support.rocks_stores import look_up

SPAN_MS = 1000
SETTLED = {0: Settled("ledger", "id", OffsetRanges.of([(0, 9)]), 5)}


def record(offset: int, item: str, timestamp: int = 0) -> Any:
    """Has what a store needs of a record."""
    return Stored(offset, timestamp, item.encode(), b"{}", [], "producer")


def opened(disk: Disk, life: Lifeline | None = None) -> FakeStore:
    store = FakeStore(disk, life or Lifeline("w0", random.Random(0), None), 8 * SPAN_MS)
    store.open()
    assert store.away is None
    return store


def offsets(store: WaitingStore, item: str, partition: int = 0) -> list[int]:
    return sorted(found.offset for found in look_up(store, partition, item.encode()))


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    clock.run(main)


def test_records_are_found_in_window_memtables_and_files() -> None:
    async def test() -> None:
        store = opened(Disk("d"))
        for offset in range(9):
            store.put(0, record(offset, "ad"[offset % 2]))
            if offset == 2:
                await store.flush(SETTLED)
        assert hash_of(b"a") == hash_of(b"d"), "the test needs items that collide"
        assert offsets(store, "a") == list(range(9))
        assert offsets(store, "a", partition=1) == []

    run(test)


def test_only_flushed_rows_survive_a_process_and_positions_follow_them() -> None:
    async def test() -> None:
        disk, life = Disk("d"), Lifeline("w0", random.Random(0), None)
        store = opened(disk, life)
        store.put(0, record(1, "a"))
        await store.flush(SETTLED)
        store.put(0, record(2, "a"))
        life.kill()
        after = opened(disk)
        assert offsets(after, "a") == [1]
        assert after.settled(0) == SETTLED[0] and after.settled(1) is None

    run(test)


@pytest.mark.parametrize("place", STORE_PLACES[:-1])
def test_a_process_can_die_at_every_step_of_a_flush(place: str) -> None:
    async def test() -> None:
        disk, life = Disk("d"), Lifeline("w0", random.Random(0), None)
        store = opened(disk, life)
        for offset in range(6):
            store.put(0, record(offset, "a"))
        life.fatal_place = place
        with pytest.raises(Killed):
            await store.flush(SETTLED)
        rows = {"window written": 0, "between files": 3}.get(place, 6)
        assert len(disk.rows) == rows
        assert disk.settled == (SETTLED if place == "positions renamed" else {})

    run(test)


def test_a_damaged_block_loses_the_whole_store() -> None:
    async def test() -> None:
        disk = Disk("d")
        store = opened(disk)
        store.put(0, record(1, "a"))
        await store.flush(SETTLED)
        number = store.number
        disk.damaged.update(disk.rows)
        with pytest.raises(StoreLostError):
            store.look_up(0, b"a")
        assert store.number > number and store.away is None
        assert offsets(store, "a") == [] and store.settled(0) is None

    run(test)


def test_a_wiped_disk_is_noticed_by_a_look_up_or_a_flush() -> None:
    async def test() -> None:
        disk = Disk("d")
        store = opened(disk)
        disk.wipe()
        store.put(0, record(1, "a"))
        number = store.number
        await store.flush(SETTLED)
        assert store.number > number and not disk.rows and not disk.settled
        disk.wipe()
        with pytest.raises(StoreLostError):
            store.look_up(0, b"a")

    run(test)


def test_a_disk_that_is_away_keeps_its_files_and_loses_what_is_in_memory() -> None:
    async def test() -> None:
        disk = Disk("d")
        store = opened(disk)
        store.put(0, record(1, "a"))
        await store.flush(SETTLED)
        store.put(0, record(2, "a"))
        number, disk.away_until = store.number, 5.0
        with pytest.raises(StoreAwayError):
            store.look_up(0, b"a")
        assert store.number > number and store.away is not None
        with pytest.raises(StoreAwayError):
            store.put(0, record(3, "a"))
        store.open()
        await asyncio.sleep(6.0)
        store.open()
        assert not store.away and offsets(store, "a") == [1] and store.settled(0) == SETTLED[0]

    run(test)


def test_positions_of_a_flush_are_not_kept_when_the_store_was_lost_meanwhile() -> None:
    async def test() -> None:
        disk = Disk("d")
        store = opened(disk)
        store.put(0, record(1, "a"))
        flush = asyncio.create_task(store.flush(SETTLED))
        await asyncio.sleep(0)
        disk.wipe()
        await flush
        assert disk.settled == {}

    run(test)


def test_one_process_has_the_directory_until_it_ends() -> None:
    async def test() -> None:
        disk, first = Disk("d"), Lifeline("w0", random.Random(0), None)
        opened(disk, first)
        second = FakeStore(disk, Lifeline("w1", random.Random(0), None), 8 * SPAN_MS)
        second.open()
        assert "locked" in (second.away or "")
        first.kill()
        second.open()
        assert not second.away
        await second.close()
        opened(disk, Lifeline("w2", random.Random(0), None))

    run(test)


def test_spans_expire_whole() -> None:
    async def test() -> None:
        store = opened(Disk("d"))
        for offset, timestamp in enumerate((0, SPAN_MS - 1, SPAN_MS, 3 * SPAN_MS)):
            store.put(0, record(offset, "a", timestamp))
        store.expire(2 * SPAN_MS - 1)
        assert offsets(store, "a") == [2, 3]
        store.expire(2 * SPAN_MS)
        assert offsets(store, "a") == [3]

    run(test)


def test_a_forgotten_partition_has_no_position_and_no_rows() -> None:
    async def test() -> None:
        disk = Disk("d")
        store = opened(disk)
        store.put(0, record(1, "a"))
        store.put(1, record(1, "a"))
        await store.flush(SETTLED)
        store.forget(0)
        assert disk.settled == {} and offsets(store, "a") == [] and offsets(store, "a", partition=1) == [1]

    run(test)


def test_a_backup_does_not_change() -> None:
    async def test() -> None:
        disk = Disk("d")
        store = opened(disk)
        store.put(0, record(1, "a"))
        await store.flush(SETTLED)
        backup = disk.copy("backup")
        disk.wipe()
        assert offsets(opened(backup), "a") == [1] and backup.settled == SETTLED

    run(test)
