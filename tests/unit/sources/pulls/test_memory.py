"""A pull keeps little of what a tool lists, however long the tool's ids and cursors are."""

import tracemalloc
from collections.abc import Callable

import pytest

from sources.pulls.digests import DigestSet
from sources.pulls.paging import offset_pages
from sources.pulls.pull import PageGuard
from sources.pulls.reading import MAX_RECORDS, PullReading, ReadingLimitError

LONG = "\N{GRINNING FACE}" * 50_000
SIZE = 5
PAGES = 10


def kept(run: Callable[[], object]) -> int:
    """Bytes that remain of a run."""
    tracemalloc.start()
    try:
        result = run()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del result
    return size


@pytest.fixture
def guard() -> PageGuard:
    return PageGuard("scores", PullReading())


def test_a_list_of_long_ids_leaves_digests(guard: PageGuard) -> None:
    def read() -> None:
        for page in range(PAGES):
            guard.check([f"{page}-{number}{LONG}" for number in range(SIZE)], page)

    assert kept(read) < 50_000


@pytest.mark.parametrize("form", [str, lambda cursor: (7, cursor)], ids=["cursor", "time-and-token"])
def test_a_list_of_long_cursors_leaves_digests(guard: PageGuard, form: Callable[[str], object]) -> None:
    def read() -> None:
        for page in range(PAGES):
            guard.check([str(page)], form(f"{page}{LONG}"))

    assert kept(read) < 50_000


class _Page:
    def __init__(self, ids: list[str]) -> None:
        self.ids = ids


async def test_a_list_by_offset_keeps_the_ids_of_one_page() -> None:
    def ids(offset: int, size: int) -> list[str]:
        return [f"{number}{LONG}" for number in range(offset, min(offset + size, SIZE * PAGES))]

    async def fetch(offset: int) -> _Page:
        return _Page(ids(offset, SIZE))

    reading, read = PullReading(), DigestSet()
    tracemalloc.start()
    try:
        async for page in offset_pages(fetch, SIZE, "feedback", reading):
            read.update(page.ids)
            kept, _ = tracemalloc.get_traced_memory()
            del page
            assert kept < 4 * SIZE * 4 * len(LONG)
    finally:
        tracemalloc.stop()
    assert len(read) == SIZE * PAGES


def test_the_limit_of_a_pull_counts_what_long_ids_need() -> None:
    reading = PullReading()
    guard = PageGuard("queues", reading)
    guard.check(["a" * 127] * 10, None)
    assert reading.listed == 10
    for _ in range(MAX_RECORDS // 1_000):
        guard.check(["a" * 128_000], None)
    with pytest.raises(ReadingLimitError):
        reading.count_request()


def test_texts_are_kept_apart() -> None:
    texts = ["", "a", "A", "a\0", "\ud83d", "\N{GRINNING FACE}", LONG, LONG + "a"]
    seen = DigestSet(texts)
    assert (len(seen), seen.update([*texts, "b"]), len(seen)) == (8, 1, 9)
    assert all(text in seen for text in texts) and "c" not in seen and 7 not in seen
