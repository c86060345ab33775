"""Reading of lists by number or offset that shift while they are read.

A record that is deleted moves those after it to the front, past the place where the next page begins. These readings
notice it and go back, so every record that exists during the whole reading is in one of the pages.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from sources.pulls.digests import DigestSet
from sources.pulls.pull import PageGuard
from sources.pulls.reading import PullReading


class ListPage(Protocol):
    """A page of a list."""

    @property
    def ids(self) -> Sequence[str]:
        """The ids of its records, in their order."""


class CountedPage(ListPage, Protocol):
    """A page of a list that reports its length."""

    @property
    def total(self) -> int:
        """Records in the whole list."""


Counted = TypeVar("Counted", bound=CountedPage)
Listed = TypeVar("Listed", bound=ListPage)


class NumberedPlace(Struct, frozen=True):
    """Where a list by number goes on."""

    number: int = 1
    """Of the next page."""
    total: int = 0
    """Records in the list when the page before was read."""


class OffsetPlace(Struct, frozen=True):
    """Where a list by offset goes on."""

    offset: int = 0
    overlap: list[str] = []
    """The ids of the page before, one of which must be on the next page."""


def starting_at(names: Sequence[str], first: str | None) -> Sequence[str]:
    """The names from one on; all of them when it is not among them.

    >>> starting_at(["a", "b", "c"], "b"), starting_at(["a"], "b")
    (['b', 'c'], ['a'])
    """
    return names if first is None or first not in names else names[names.index(first) :]


async def numbered_pages(
    fetch: Callable[[int], Awaitable[Counted]],
    size: int,
    place: str,
    reading: PullReading,
    start: NumberedPlace = NumberedPlace(),  # noqa: B008 -- it is frozen
) -> AsyncIterator[tuple[Counted, NumberedPlace]]:
    """The pages of a list by their number, each with the place after it. New records must be listed first.

    When the total shrinks, the pages to which records have moved are read again.

    Args:
        fetch: returns the page of a number. Raises PullError.
        size: records of a full page.
        place: what is read, for errors.
        reading: counts what the list has.
        start: where to begin.

    Raises PullError, also for a list that does not advance.
    """
    guard, number, furthest, total = PageGuard(place, reading), start.number, 0, start.total
    while True:
        page = await fetch(number)
        following = number + 1 if page.ids and number * size < page.total else None
        deleted = max(0, total - page.total)
        after = max(1, number - -(-deleted // size)) if deleted else following
        total = page.total
        yield page, NumberedPlace(after or number, total)
        if number > furthest:
            guard.check(page.ids, following)
            furthest = number
        if after is None:
            return
        number = after


async def offset_pages(
    fetch: Callable[[int], Awaitable[Listed]], size: int, place: str, reading: PullReading
) -> AsyncIterator[Listed]:
    """The pages of a list by their offset, from the bookmark, until one has less than `size` records.

    Each page overlaps what was read before. If it does not, records have moved to the front, and it goes back.

    Args:
        fetch: returns the page at an offset. Raises PullError.
        size: records of a full page.
        place: what is read, for errors.
        reading: counts what the list has, and keeps the bookmark, an `OffsetPlace`.

    Raises PullError, also for a list that does not advance.
    """
    start = reading.resume(OffsetPlace) or OffsetPlace()
    guard, offset, furthest = PageGuard(place, reading), start.offset, -1
    known = DigestSet(start.overlap)
    while True:
        page = await fetch(offset)
        yield page
        if offset and not any(id in known for id in page.ids):
            offset = max(0, offset - size)
            continue
        known.update(page.ids)
        last = len(page.ids) < size
        if offset > furthest:
            guard.check(page.ids, None if last else offset + len(page.ids) - 1)
            furthest = offset
        if last:
            return
        offset += len(page.ids) - 1
        reading.keep(OffsetPlace(offset, [*page.ids[-size:]]))
