"""The store while a thread flushes it or compacts a span."""

import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from streams.waiting.rocks import RocksStore
from streams.waiting.spans import Span
from streams.waiting.store import StoreAwayError
from tests.support.rocks_stores import (
    ITEMS,
    SPAN_MS,
    covered_to,
    damage_rows,
    found,
    look_up,
    opened_store,
    put_items,
    record,
    why,
)

DEADLINE_S = 60.0


class Blocked:
    """Stands for the flush of a span, which waits in its thread until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        flush = Span.flush

        def blocked(span: Span) -> None:
            self.entered.set()
            assert self.go_on.wait(DEADLINE_S)
            flush(span)

        monkeypatch.setattr(Span, "flush", blocked)


async def test_a_store_that_is_lost_during_a_flush_is_emptied_when_its_thread_has_ended(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened_store(directory)
    put_items(store)
    await store.flush({0: covered_to(ITEMS)})
    await store.close()
    damage_rows(directory)
    again = opened_store(directory)
    number = again.number
    again.put(0, record(ITEMS))
    blocked = Blocked(monkeypatch)
    flush = asyncio.create_task(again.flush({0: covered_to(ITEMS + 1)}))
    await asyncio.to_thread(blocked.entered.wait, DEADLINE_S)
    with pytest.raises(StoreAwayError):
        found(again)
    assert why(again)
    again.open()
    assert why(again)
    blocked.go_on.set()
    await flush
    again.open()
    assert (why(again), again.settled(0), again.number) == (None, None, number + 1)
    assert look_up(again, 0, b"item") == []
    await again.close()


async def test_a_flush_after_a_cancelled_one_waits_for_the_same_rows(
    directory: Path, store: RocksStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(0, record(1))
    blocked = Blocked(monkeypatch)
    flush = asyncio.create_task(store.flush({0: covered_to(2)}))
    await asyncio.to_thread(blocked.entered.wait, DEADLINE_S)
    flush.cancel()
    await asyncio.wait([flush])
    second = asyncio.create_task(store.flush({0: covered_to(2)}))
    for _ in range(10):
        await asyncio.sleep(0)
    assert store.settled(0) is None
    blocked.go_on.set()
    await second
    shutil.copytree(directory, tmp_path / "copy")
    killed = opened_store(tmp_path / "copy")
    assert killed.settled(0) == covered_to(2)
    assert [each.offset for each in look_up(killed, 0, b"item")] == [1]
    await killed.close()


async def test_closing_waits_for_a_flush(directory: Path, store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(0, record(1))
    blocked = Blocked(monkeypatch)
    flush = asyncio.create_task(store.flush({0: covered_to(2)}))
    await asyncio.to_thread(blocked.entered.wait, DEADLINE_S)
    close = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    assert not close.done()
    blocked.go_on.set()
    await asyncio.gather(flush, close)
    # Closed during the flush: its positions do not count.
    again = opened_store(directory)
    assert again.settled(0) is None
    await again.close()


async def test_spans_are_written_and_read_while_one_is_compacted(store: RocksStore) -> None:
    for start in range(0, 5 * ITEMS, ITEMS):
        put_items(store, start)
        await store.flush({})
    store.put(0, record(10**6, b"item", 2 * SPAN_MS))
    await store.flush({})
    seal = asyncio.create_task(store.seal())
    await asyncio.sleep(0)
    offset = 2 * 10**6
    while not seal.done():
        store.put(0, record(offset, b"late %d" % offset))
        store.write_window()
        assert look_up(store, 0, b"late %d" % offset) and look_up(store, 0, b"1")
        offset += 1
        await asyncio.sleep(0)
    assert store.away is None
    await seal
    assert found(store) == ITEMS


async def test_closing_ends_the_compaction_of_a_span(directory: Path, store: RocksStore) -> None:
    for start in range(0, 5 * ITEMS, ITEMS):
        put_items(store, start)
        await store.flush({0: covered_to(start + ITEMS)})
    store.put(0, record(10**6, b"item", 2 * SPAN_MS))
    await store.flush({})
    seal = asyncio.create_task(store.seal())
    await asyncio.sleep(0)
    await store.close()
    await seal
    again = opened_store(directory)
    assert again.settled(0) == covered_to(5 * ITEMS)
    assert found(again, 2 * ITEMS) == ITEMS
    await again.close()
