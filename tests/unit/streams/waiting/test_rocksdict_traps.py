"""What rocksdict and RocksDB do that a store must know: each test fails when a new release behaves otherwise."""

import re
from pathlib import Path

import pytest
from rocksdict import Options, Rdict, WriteBatch

from streams.waiting.positions import SpanContent
from streams.waiting.spans import Resources, Span
from streams.waiting.store import StoreAwayError, StoreLostError
from streams.waiting.window import Slice
from tests.support.small_disks import fill, resize

ROWS = 5_000


def rows(start: int = 0, count: int = ROWS) -> list[tuple[bytes, bytes]]:
    """Rows with prefixes that are apart, in the order of their keys."""
    return [(_prefix(number) + bytes(12), b"value %9d" % number * 8) for number in range(start, start + count)]


def _prefix(number: int) -> bytes:
    return (number * 7919).to_bytes(8, "big")


def new_database(path: Path, options: Options) -> Rdict:
    database = Rdict(str(path), options, column_families={"default": options})
    batch = WriteBatch(raw_mode=True)
    for key, value in rows():
        batch[key] = value
    database.write(batch)
    database.flush()
    return database


def new_span(directory: Path, resources: Resources) -> Span:
    span = Span(directory, SpanContent(0, 1), resources, create=True)
    span.write(Slice(0, 0, 0, ROWS, rows()))
    span.flush()
    return span


def damage(directory: Path) -> None:
    """Flip bits in the middle of every file with rows."""
    files = list(directory.glob("*.sst"))
    assert files
    for path in files:
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 0xFF
        path.write_bytes(content)


@pytest.fixture
def resources() -> Resources:
    resources = Resources(wal=False)
    for options in (resources.options, resources.create):
        options.enable_statistics()
    return resources


def filtered(options: Options) -> int:
    """How often a filter has spared a read."""
    found = re.findall(r"last\.level\.seek\.filtered COUNT : (\d+)", options.get_statistics() or "")
    assert found
    return sum(map(int, found))


def _misses(database: Rdict, resources: Resources) -> None:
    for number in range(0, 1_000, 10):
        iterator = database.iter(resources.read)
        iterator.seek(_prefix(number)[:7] + b"\1")
        iterator.status()


def rows_of(span: Span, prefix: bytes) -> list[tuple[bytes, bytes]]:
    """All rows with a prefix."""
    found, following = span.look_up(prefix, prefix, 1 << 30)
    assert following is None
    return found


def _look_up_all(span: Span) -> None:
    for key, _ in rows():
        rows_of(span, key[:8])


def test_a_database_opened_without_column_families_has_no_filter(tmp_path: Path, resources: Resources) -> None:
    new_database(tmp_path / "rows", resources.create).close()
    forgetful = Rdict(str(tmp_path / "rows"), resources.options)
    _misses(forgetful, resources)
    assert filtered(resources.options) == 0
    forgetful.close()


def test_a_span_that_is_opened_again_has_its_filter(tmp_path: Path, resources: Resources) -> None:
    new_span(tmp_path / "span", resources).close()
    span = Span(tmp_path / "span", SpanContent(0, 1), resources, create=False)
    for number in range(0, 1_000, 10):
        assert rows_of(span, _prefix(number)[:7] + b"\1") == []
    assert filtered(resources.options) > 90
    span.close()


def test_an_iterator_just_ends_at_a_damaged_block_and_its_status_raises(tmp_path: Path, resources: Resources) -> None:
    new_database(tmp_path / "rows", resources.create).close()
    damage(tmp_path / "rows")
    database = Rdict(str(tmp_path / "rows"), resources.options, column_families={"default": resources.options})
    iterator = database.iter()
    iterator.seek_to_first()
    found = 0
    while iterator.valid():
        found += 1
        iterator.next()
    assert 0 < found < ROWS
    with pytest.raises(Exception, match=r"^Corruption: block checksum mismatch"):
        iterator.status()
    assert len(list(database.keys())) == found
    del iterator
    database.close()


def test_a_look_up_that_meets_a_damaged_block_raises(tmp_path: Path, resources: Resources) -> None:
    new_span(tmp_path / "span", resources).close()
    damage(tmp_path / "span")
    span = Span(tmp_path / "span", SpanContent(0, 1), resources, create=False)
    missing = 0
    for key, value in rows():
        try:
            found = rows_of(span, key[:8])
        except StoreLostError:
            missing += 1
        else:
            assert found == [(key, value)]
    assert 0 < missing < ROWS
    span.close()


def test_an_iterator_keeps_the_lock_of_a_closed_database(tmp_path: Path, resources: Resources) -> None:
    database = new_database(tmp_path / "rows", resources.create)
    iterator = database.iter()
    database.close()
    with pytest.raises(StoreAwayError, match="lock hold by current process"):
        Span(tmp_path / "rows", SpanContent(0, 1), resources, create=False)
    del iterator
    Span(tmp_path / "rows", SpanContent(0, 1), resources, create=False).close()


def test_a_failed_look_up_keeps_no_lock(tmp_path: Path, resources: Resources) -> None:
    new_span(tmp_path / "span", resources).close()
    damage(tmp_path / "span")
    span = Span(tmp_path / "span", SpanContent(0, 1), resources, create=False)
    with pytest.raises(StoreLostError, match="block checksum mismatch") as kept:
        _look_up_all(span)
    span.close()
    Span(tmp_path / "span", SpanContent(0, 1), resources, create=False).close()
    assert "mismatch" in str(kept.value)


def test_after_a_failed_write_a_handle_stays_failed_and_raises_when_it_is_closed(
    small_disk: Path, resources: Resources
) -> None:
    database = new_database(small_disk / "rows", resources.create)
    for key, value in rows(ROWS):
        database[key] = value
    with fill(small_disk), pytest.raises(Exception, match=r"^IO error: No space left on device"):
        database.flush()
    resize(small_disk, "64m")
    with pytest.raises(Exception, match="No space left on device"):
        database[b"more"] = b"rows"
    assert len(list(database.keys())) == 2 * ROWS
    with pytest.raises(Exception, match="No space left on device"):
        database.close()
    # It is closed all the same.
    again = Rdict(str(small_disk / "rows"), resources.options, column_families={"default": resources.options})
    assert len(list(again.keys())) >= ROWS
    again.close()


def test_a_span_closes_without_an_exception_after_a_failed_write(small_disk: Path, resources: Resources) -> None:
    span = new_span(small_disk / "span", resources)
    span.write(Slice(0, 0, 0, ROWS, rows(ROWS)))
    with fill(small_disk), pytest.raises(StoreAwayError, match="No space left on device"):
        span.flush()
    span.close()
    again = Span(small_disk / "span", SpanContent(0, 1), resources, create=False)
    assert rows_of(again, _prefix(1)) == rows(1, 1)
    again.close()
