"""Reading of lists by number or offset that shift while they are read.

A record that is deleted moves those after it to the front, past the place where the next page begins. These readings
notice it and go back, so every record that exists during the whole reading is in one of the pages.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Protocol, TypeVar

from sources.pulls.pull import PageGuard


class ListPage(Protocol):
    """A page of a list."""

    @property
    def ids(self) -> Collection[str]:
        """The ids of its records, in their order."""


class CountedPage(ListPage, Protocol):
    """A page of a list that reports its length."""

    @property
    def total(self) -> int:
        """Records in the whole list."""


Counted = TypeVar("Counted", bound=CountedPage)
Listed = TypeVar("Listed", bound=ListPage)


async def numbered_pages(fetch: Callable[[int], Awaitable[Counted]], size: int, place: str) -> AsyncIterator[Counted]:
    """The pages of a list by their number, from 1. New records must be listed first.

    When the total shrinks, the pages to which records have moved are read again.

    Args:
        fetch: returns the page of a number. Raises PullError.
        size: records of a full page.
        place: what is read, for errors.

    Raises PullError, also for a list that does not advance.
    """
    guard, number, furthest, total = PageGuard(place), 1, 0, 0
    while True:
        page = await fetch(number)
        yield page
        following = number + 1 if page.ids and number * size < page.total else None
        if number > furthest:
            guard.check(page.ids, following)
            furthest = number
        deleted = max(0, total - page.total)
        total = page.total
        if deleted:
            number = max(1, number - -(-deleted // size))
        elif following is None:
            return
        else:
            number = following


async def offset_pages(fetch: Callable[[int], Awaitable[Listed]], size: int, place: str) -> AsyncIterator[Listed]:
    """The pages of a list by their offset, from 0, until one has less than `size` records.

    Each page overlaps what was read before. If it does not, records have moved to the front, and it goes back.

    Args:
        fetch: returns the page at an offset. Raises PullError.
        size: records of a full page.
        place: what is read, for errors.

    Raises PullError, also for a list that does not advance.
    """
    guard, offset, furthest = PageGuard(place), 0, -1
    known: set[str] = set()
    while True:
        page = await fetch(offset)
        yield page
        if offset and not known & {*page.ids}:
            offset = max(0, offset - size)
            continue
        known |= {*page.ids}
        last = len(page.ids) < size
        if offset > furthest:
            guard.check(page.ids, None if last else offset + len(page.ids) - 1)
            furthest = offset
        if last:
            return
        offset += len(page.ids) - 1
