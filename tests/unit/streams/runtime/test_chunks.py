"""Chunks: all records in their order, and smaller chunks while records are slow."""

from streams.runtime.chunks import CHUNK_RECORDS, CHUNK_SECONDS, Chunks


class Clock:
    """A clock that moves when a record is handled."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def handled(chunks: Chunks, clock: Clock, records: range, seconds: float) -> list[int]:
    """Handle records that take so long each; returns the lengths of their chunks."""
    seen: list[int] = []
    lengths = []
    for chunk in chunks.of(records):
        clock.now += seconds * len(chunk)
        chunks.handled()
        # Awaiting others takes long, too, and is no reason for smaller chunks.
        clock.now += 10 * CHUNK_SECONDS
        seen += chunk
        lengths.append(len(chunk))
    assert seen == list(records)
    return lengths


def test_chunks_of_fast_records_grow_to_the_most_and_stay() -> None:
    clock = Clock()
    chunks = Chunks(clock)
    assert handled(chunks, clock, range(10_000), 1e-6)[-2:-1] == [CHUNK_RECORDS]
    assert handled(chunks, clock, range(2 * CHUNK_RECORDS), 1e-6) == [CHUNK_RECORDS] * 2


def test_slow_records_make_chunks_small_after_one_and_fast_ones_let_them_grow() -> None:
    clock = Clock()
    chunks = Chunks(clock)
    handled(chunks, clock, range(10_000), 1e-6)
    first, *rest = handled(chunks, clock, range(2_000), CHUNK_SECONDS / 10)
    assert first == CHUNK_RECORDS
    assert max(rest) <= 10
    assert max(handled(chunks, clock, range(10_000), 1e-6)) == CHUNK_RECORDS


def test_a_chunk_has_at_least_one_record() -> None:
    clock = Clock()
    chunks = Chunks(clock)
    assert set(handled(chunks, clock, range(60), 100 * CHUNK_SECONDS)[1:]) == {1}
    assert handled(chunks, clock, range(0), 1.0) == []


def test_a_chunk_that_takes_long_ends_early_and_the_next_begins_with_its_rest() -> None:
    """The first slow records after many fast ones are in a chunk of a thousand."""
    clock = Clock()
    chunks = Chunks(clock)
    handled(chunks, clock, range(10_000), 1e-6)
    records, seen, seconds = range(2_000), [], []
    for chunk in chunks.of(records):
        began = clock.now
        for index, record in enumerate(chunk):
            if chunks.ends_before(index):
                break
            clock.now += CHUNK_SECONDS / 2
            seen.append(record)
        chunks.handled()
        seconds.append(clock.now - began)
    assert seen == list(records)
    assert max(seconds) <= 2 * CHUNK_SECONDS
