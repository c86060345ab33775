"""The store on disk returns what was put, also after it was opened again."""

import asyncio
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.record_batches import ParsedRecord
from streams.waiting import window
from streams.waiting.coverage import OffsetRanges
from streams.waiting.rocks import LOOK_UP_BYTES, RocksStore
from streams.waiting.store import Settled, StoreAwayError
from streams.waiting.window import WINDOW_BYTES, EvaluationWindow, RowPlace, Slice, group_of, records_of
from tests.support.rocks_stores import SPAN_MS, covered_to, look_up, new_store, opened_store, record


async def opened_again(store: RocksStore) -> RocksStore:
    await store.close()
    return opened_store(store._directory.path)


def span_names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*_*"))


def modes(directory: Path) -> set[tuple[bool, int]]:
    """Whether it is a directory, and its mode, of everything."""
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (directory, *directory.rglob("*"))}


_names = st.binary(max_size=8).map(lambda name: name.decode("utf-8", "surrogateescape"))
_records = st.builds(
    ParsedRecord,
    offset=st.integers(0, 2**63 - 1),
    timestamp=st.integers(-1, 2**62),
    key=st.binary(max_size=20),
    value=st.none() | st.binary(max_size=40),
    headers=st.lists(st.tuples(_names, st.none() | st.binary(max_size=8)), max_size=3),
)


PLACE = RowPlace(0, seed=7, epoch=1)


@given(st.lists(_records, min_size=1, max_size=20))
def test_records_come_back_as_they_came(records: list[ParsedRecord]) -> None:
    waiting = EvaluationWindow(SPAN_MS)
    assert not waiting.add(PLACE, iter(records)), "nothing is to be written yet"
    waiting.end()
    rows = [row for piece in iter(waiting.next_slice, None) for row in piece.rows]
    found = [each for _, value in rows for each in records_of(group_of(value))]
    assert sorted(found, key=repr) == sorted(records, key=repr)


@given(st.lists(_records, min_size=1, max_size=20))
def test_records_that_are_put_together_are_kept_as_those_that_are_put_one_by_one(records: list[ParsedRecord]) -> None:
    together, alone = EvaluationWindow(SPAN_MS), EvaluationWindow(SPAN_MS)
    together.add(PLACE, iter(records))
    for each in records:
        alone.add(PLACE, iter([each]))
    assert (together.value_bytes, together.evaluations(0)) == (alone.value_bytes, alone.evaluations(0))
    for waiting in (together, alone):
        waiting.end()
    assert list(iter(together.next_slice, None)) == list(iter(alone.next_slice, None))


_LARGE = 100_000


def _large(offset: int) -> ParsedRecord:
    """Of 100 kB, half of it in a header."""
    half = bytes(_LARGE // 2)
    return replace(record(offset, b"asked", offset * 9, half), headers=[("h", half)])


@pytest.mark.parametrize("together", [1, 200])
async def test_an_item_of_any_size_is_read_in_parts_of_a_few_mebibytes(store: RocksStore, together: int) -> None:
    count = 400
    for start in range(0, count, together):
        store.put(0, *map(_large, range(start, start + together)))
        assert store._window.value_bytes < 2 * WINDOW_BYTES + 2 * _LARGE
    assert store._window.evaluations(0) and len(store._spans) > 1, "a part of it is on disk, a part in the window"
    found, after, parts = [], None, 0
    while True:
        records, after = store.look_up(0, b"asked", after)
        assert sum(len(each.value or b"") for each in records) < LOOK_UP_BYTES + WINDOW_BYTES + _LARGE
        found += records
        parts += 1
        if after is None:
            break
    assert parts > 2
    assert [each.offset for each in found] == list(range(count))


async def test_headers_without_bytes_count_for_the_memory_that_they_need(store: RocksStore) -> None:
    for offset in range(10):
        store.put(0, replace(record(offset, b"item %d" % offset), headers=[("", None)] * 50_000))
    assert store._window.evaluations(0) <= 5, "a full window is written"
    assert all(len(look_up(store, 0, b"item %d" % offset)[0].headers) == 50_000 for offset in range(10))


async def test_a_look_up_goes_on_behind_a_span_that_has_expired_meanwhile(store: RocksStore) -> None:
    for offset in range(400):
        store.put(0, _large(offset))
    first, after = store.look_up(0, b"asked")
    assert after is not None
    store.expire(2_000)
    rest, _ = store.look_up(0, b"asked", after)
    assert rest and rest[0].offset > first[-1].offset


async def test_a_look_up_finds_what_is_in_the_window_being_written_and_on_disk(store: RocksStore) -> None:
    records = [record(offset, b"asked", offset * 300) for offset in range(4)]
    for number, each in enumerate(records):
        store.put(1, each)
        store.put(1, record(100 + number, b"other"))
        if number == 0:
            await store.flush({})
        elif number == 1:
            store.write_window()
        elif number == 2:
            store._end_window()
    assert look_up(store, 1, b"asked") == records
    assert look_up(store, 1, b"unknown") == []
    assert look_up(store, 0, b"asked") == []


async def test_what_is_flushed_is_there_after_opening_again(store: RocksStore) -> None:
    records = [record(offset, b"item", offset * 100) for offset in range(40)]
    for each in records:
        store.put(2, each)
    settled = Settled("a ledger", None, OffsetRanges.of([(0, 10), (12, 40)]), 17)
    await store.flush({2: settled})
    assert store.unflushed_bytes == 0
    again = await opened_again(store)
    assert again.settled(2) == settled
    assert again.settled(1) is None
    assert look_up(again, 2, b"item") == records
    assert again.evaluations() == again.evaluations(2) == 40
    assert again.oldest_ms == 0
    assert again.bytes_on_disk > 0
    await again.close()


async def test_adopted_evaluations_are_found_and_not_counted(store: RocksStore) -> None:
    store.put(0, record(1, b"a", 10))
    store.put(0, record(2, b"b", SPAN_MS))
    store.put(1, record(1, b"a", 10))
    store.adopted(0, look_up(store, 0, b"a"))
    assert (store.evaluations(), store.evaluations(0)) == (2, 1), "while they are in the window, too"
    await store.flush({0: covered_to(3)})
    await store.close()
    again = await opened_again(store)
    assert (again.evaluations(), again.evaluations(0), len(look_up(again, 0, b"a"))) == (2, 1, 1)
    again.expire(SPAN_MS)
    assert (again.evaluations(), again.evaluations(0), again.evaluations(1)) == (1, 1, 0), "not taken off twice"
    again.adopted(0, look_up(again, 0, b"b"))
    assert again.evaluations(0) == 0
    again.count_all(0)
    assert again.evaluations(0) == 1


async def test_partitions_with_the_same_offsets_are_apart(store: RocksStore) -> None:
    for partition in range(4):
        store.put(partition, record(5, b"item", value=b"%d" % partition))
    await store.flush({})
    again = await opened_again(store)
    # Nothing was settled, so nothing of the epochs is lost either.
    found = [[each.value for each in look_up(again, partition, b"item")] for partition in range(4)]
    assert found == [[b"0"], [b"1"], [b"2"], [b"3"]]
    await again.close()


async def test_items_of_one_hash_are_told_apart(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xxhash.xxh3_64_intdigest", lambda *_: 0)
    store.put(0, record(1, b"one"))
    store.put(0, record(2, b"two"))
    store.write_window()
    found = look_up(store, 0, b"one")
    assert [(each.offset, each.key) for each in found] == [(1, b"one"), (2, b"two")]


async def test_a_record_that_is_read_again_is_found_once(store: RocksStore) -> None:
    for each in (record(1), record(2)):
        store.put(0, each)
    store.write_window()
    store.put(0, record(2))
    assert [each.offset for each in look_up(store, 0, b"item")] == [1, 2]


@pytest.mark.parametrize("together", [1, 750])
async def test_a_full_window_is_written_in_slices_between_the_next_records(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(window, "WINDOW_EVALUATIONS", 2_000)
    written: list[int] = []
    write = store._spans.write

    def count_and_write(piece: Slice) -> None:
        written.append(len(piece.rows))
        write(piece)

    monkeypatch.setattr(store._spans, "write", count_and_write)
    put = 0

    def put_more(count: int) -> None:
        nonlocal put
        records = [record(offset, b"%d" % offset) for offset in range(put, put + count)]
        for start in range(0, count, together):
            store.put(0, *records[start : start + together])
        put += count

    put_more(2_000)
    assert written == []
    put_more(500)
    assert written == [500]
    put_more(1_500)
    assert written == [500] * 4
    assert all(look_up(store, 0, b"%d" % offset) for offset in range(0, put, 99))
    assert store.evaluations() == put


async def test_a_window_is_written_after_some_seconds(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "WINDOW_SECONDS", 0.0)
    for offset in range(1_000):
        store.put(0, record(offset, b"%d" % offset))
    assert list(store._spans)


async def test_what_is_put_during_a_flush_is_found_and_not_lost(store: RocksStore) -> None:
    for offset in range(3_000):
        store.put(0, record(offset, b"%d" % offset))
    flush = asyncio.create_task(store.flush({0: covered_to(3_000)}))
    offset = 3_000
    while not flush.done():
        for _ in range(100):
            store.put(0, record(offset, b"%d" % offset))
            offset += 1
        assert look_up(store, 0, b"2999") and look_up(store, 0, b"%d" % (offset - 1))
        await asyncio.sleep(0)
    assert store.settled(0) == covered_to(3_000)
    assert all(len(look_up(store, 0, b"%d" % each)) == 1 for each in range(0, offset, 97))


async def test_positions_of_partitions_that_are_not_passed_stay(store: RocksStore) -> None:
    await store.flush({0: covered_to(5)})
    await store.flush({1: covered_to(7)})
    again = await opened_again(store)
    assert (again.settled(0), again.settled(1)) == (covered_to(5), covered_to(7))
    await again.close()


async def test_a_forgotten_partition_has_no_rows_and_no_positions(store: RocksStore) -> None:
    for partition in (0, 1):
        store.put(partition, record(1))
        store.put(partition, record(2))
    await store.flush({0: covered_to(3), 1: covered_to(3)})
    store.put(0, record(3))
    store.forget(0)
    assert look_up(store, 0, b"item") == []
    again = await opened_again(store)
    assert (again.settled(0), again.settled(1)) == (None, covered_to(3))
    assert look_up(again, 0, b"item") == []
    assert len(look_up(again, 1, b"item")) == 2
    assert (again.evaluations(0), again.evaluations(1)) == (0, 2)
    again.put(0, record(1, value=b"of the new topic"))
    assert [each.value for each in look_up(again, 0, b"item")] == [b"of the new topic"]
    await again.close()


async def test_a_partition_that_is_forgotten_during_a_flush_gets_no_old_positions(store: RocksStore) -> None:
    store.put(0, record(1))
    flush = asyncio.create_task(store.flush({0: covered_to(2)}))
    await asyncio.sleep(0)
    store.forget(0)
    await flush
    assert store.settled(0) is None
    again = await opened_again(store)
    assert again.settled(0) is None
    await again.close()


async def test_spans_are_dropped_whole(store: RocksStore, directory: Path) -> None:
    for second in range(4):
        store.put(0, record(second, b"item", second * SPAN_MS + 999))
    await store.flush({0: covered_to(4)})
    store.expire(1_999)
    assert [each.offset for each in look_up(store, 0, b"item")] == [1, 2, 3]
    store.expire(3_000)
    assert [each.offset for each in look_up(store, 0, b"item")] == [3]
    assert span_names(directory) == ["3000_4000"]
    assert (store.evaluations(), store.oldest_ms) == (1, 3_999)
    again = await opened_again(store)
    assert [each.offset for each in look_up(again, 0, b"item")] == [3]
    assert again.settled(0) == covered_to(4)
    await again.close()


@pytest.mark.row(53)
async def test_spans_of_another_width_are_used_to_their_end(store: RocksStore, directory: Path) -> None:
    store.put(0, record(0, b"item", 500))
    await store.flush({})
    await store.close()
    wider = RocksStore(directory, "evaluations", 4, keep_ms=8 * 3_000, min_free_bytes=0)
    wider.open()
    for offset, time_ms in enumerate((900, 1_000, 2_999, 3_000), start=1):
        wider.put(0, record(offset, b"item", time_ms))
        wider.write_window()
    assert span_names(directory) == ["0_1000", "1000_3000", "3000_6000"]
    wider.expire(3_000)
    assert [each.offset for each in look_up(wider, 0, b"item")] == [4]
    await wider.close()


async def test_an_evaluation_beyond_the_end_of_its_span_keeps_the_span(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.waiting.spans.MAX_SPANS", 2)
    for offset, time_ms in enumerate((0, 1_000, 9_000)):
        store.put(0, record(offset, b"item", time_ms))
        store.write_window()
    assert len(store._spans) == 2
    store.expire(8_000)
    assert [each.offset for each in look_up(store, 0, b"item")] == [1, 2]
    store.expire(9_001)
    assert look_up(store, 0, b"item") == []


async def test_a_quiet_span_is_compacted_into_one_run(store: RocksStore) -> None:
    for offset in range(4):
        store.put(0, record(offset, b"item", 0))
        await store.flush({})
    await store.seal()
    (only,) = store._spans
    assert only.runs == 4  # the newest: more may come
    store.put(0, record(4, b"item", SPAN_MS))
    await store.flush({})
    await store.seal()
    old, new = store._spans
    assert (old.runs, new.runs) == (0, 1)
    assert [each.offset for each in look_up(store, 0, b"item")] == [0, 1, 2, 3, 4]
    again = await opened_again(store)
    assert [span.runs for span in again._spans] == [0, 1]
    assert [each.offset for each in look_up(again, 0, b"item")] == [0, 1, 2, 3, 4]
    await again.close()


async def test_only_the_owner_reads_the_files(store: RocksStore, directory: Path) -> None:
    store.put(0, record(1))
    await store.flush({0: covered_to(2)})
    assert modes(directory) == {(True, 0o700), (False, 0o600)}


async def test_with_a_log_rows_survive_without_a_flush(directory: Path, tmp_path: Path) -> None:
    store = opened_store(directory, wal=True)
    store.put(0, record(1))
    store.write_window()
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    killed = opened_store(copy, wal=True)
    assert [each.offset for each in look_up(killed, 0, b"item")] == [1]
    assert killed.settled(0) is None
    await killed.close()
    await store.close()


async def test_with_a_log_rows_of_older_offsets_are_found_with_those_of_new_ones(directory: Path) -> None:
    store = opened_store(directory, wal=True)
    for start in range(3):
        for offset in (5, 6):
            store.put(0, record(offset, value=b"%d" % start))
        if start == 1:
            store.write_window()
        if start < 2:
            await store.flush({0: covered_to(7)})
            await store.close()
            store = opened_store(directory, wal=True)
            assert store.settled(0) == covered_to(7)
            store.forget(0)
            assert store.settled(0) is None
    expected = [(5, b"0"), (6, b"0"), (5, b"1"), (6, b"1"), (5, b"2"), (6, b"2")]
    assert [(each.offset, each.value) for each in look_up(store, 0, b"item")] == expected
    assert store.evaluations(0) == 6
    store.forget(0)
    store.put(0, record(5, value=b"3"))
    store.write_window()
    await store.close()
    again = opened_store(directory, wal=True)
    assert [(each.offset, each.value) for each in look_up(again, 0, b"item")] == [*expected, (5, b"3")]
    assert look_up(again, 1, b"item") == []
    await again.close()


async def test_without_a_log_rows_need_a_flush(store: RocksStore, directory: Path, tmp_path: Path) -> None:
    store.put(0, record(1))
    store.write_window()
    shutil.copytree(directory, tmp_path / "copy")
    killed = opened_store(tmp_path / "copy")
    assert look_up(killed, 0, b"item") == []
    await killed.close()


async def test_a_store_that_is_not_open_is_away(directory: Path) -> None:
    store = new_store(directory)
    assert store.away
    with pytest.raises(StoreAwayError):
        store.put(0, record(1))
    with pytest.raises(StoreAwayError):
        look_up(store, 0, b"item")
    await store.flush({0: covered_to(1)})
    store.expire(1)
    await store.seal()
    assert span_names(directory.parent) == []
