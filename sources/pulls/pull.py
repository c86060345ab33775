"""What a tool's client provides: streams of pages, each page a document as the tool's mapper reads it.

A client knows addresses, paging and the order of lists. What to read, and when, is decided by `sources.pulls.sync`.
"""

from collections.abc import AsyncIterator, Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from aggregator.days import day_of
from sources.pulls.digests import DigestSet
from sources.pulls.reading import PullReading
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

_EMPTY_PAGES: Final = 1_000
_COMMON_ID: Final = 128
"""An entry of a list counts once more for each of these characters of its id."""
_REPEATED_PAGES: Final = 3
"""Pages in a row without a new record, after which a list is taken to have no end."""


class PullError(EvalAlignmentError):
    """A tool did not answer as its API does. The message has the address, and no credential."""

    exit_code = ExitCode.FAILED


@dataclass(frozen=True, slots=True)
class PulledPage:
    """Some records of a stream."""

    content: bytes
    """One document, as the mapper of the tool reads it."""
    listed: int | None = None
    """The lowest listing time of its records in milliseconds; None for a stream whose list has no time.

    The listing time of a record is the one by which the tool filters and orders its list. A record is missing from a
    window only if the page that had it lies in the window, so a page has records of one UTC day: see `daily_pages`.
    """


class Stream(Protocol):
    """One kind of records of a tool, such as its scores or the items of its queues."""

    @property
    def name(self) -> str:
        """Name of the stream; the same in every process."""

    @property
    def windowed(self) -> bool:
        """Whether a reading can begin at a listing time. Otherwise every reading has all records."""

    def pages(self, reading: PullReading) -> AsyncIterator[PulledPage]:
        """All records listed at or after `reading.since`, from its bookmark to the end of the list.

        A record may be in several pages, and pages may have records from before `since`. Every record that exists
        while the pages are read must be in one of them: what is in none is taken to be deleted. That holds for a
        reading of several pulls too, each of which begins at the bookmark of the one before.

        Raises PullError; nothing is taken to be deleted then. Raises ReadingLimitError at a limit of the reading.
        """


class PageGuard:
    """Ends the reading of a list that would not end by itself. One is used for each reading.

    Args:
        place: what is read, for the error.
        reading: counts what the list has.
    """

    def __init__(self, place: str, reading: PullReading) -> None:
        self._place = place
        self._reading = reading
        self._ids = DigestSet()
        self._positions = DigestSet()
        self._idle = 0
        """Pages in a row without a new record."""

    def check(self, ids: Iterable[str], following: Hashable) -> None:
        """Count a page, and raise PullError if it brings no new record and the list does not advance either.

        Args:
            ids: of the records on the page, or of what else it lists.
            following: the cursor, token or number of the next page; None at the end of the list.
        """
        page = [*ids]
        # Streams may keep the ids to the end of the pull.
        self._reading.count_listed(sum(1 + len(id) // _COMMON_ID for id in page))
        self._idle = 0 if self._ids.update(page) else self._idle + 1
        if following is None:
            return
        position = repr(following)
        if self._idle and position in self._positions:
            raise PullError(f"{self._place}: a page has no new records, and leads to a page that was read before")
        # A list that shifts while it is read may repeat a page.
        if self._idle > (_REPEATED_PAGES if page else _EMPTY_PAGES):
            raise PullError(f"{self._place}: {self._idle:,} pages in a row have no new records, and none is the last")
        self._positions.update([position])


def daily_pages(
    records: Iterable[tuple[int | None, msgspec.Raw]], frame: tuple[bytes, bytes] = (b"[", b"]")
) -> list[PulledPage]:
    """Pages of the records of an answer, one for each UTC day of their listing times.

    Args:
        records: listing time in milliseconds, and the record as it came; None for a record whose time is not read.
        frame: what a document has before and after the records, which are separated by commas.

    >>> daily_pages([(86_400_000, msgspec.Raw(b"3")), (5, msgspec.Raw(b"2")), (4, msgspec.Raw(b"1"))])
    [PulledPage(content=b'[3]', listed=86400000), PulledPage(content=b'[2,1]', listed=4)]
    """
    days: dict[str | None, list[tuple[int | None, bytes]]] = {}
    for listed, raw in records:
        days.setdefault(None if listed is None else day_of(listed), []).append((listed, bytes(raw)))
    return [
        PulledPage(
            frame[0] + b",".join(raw for _, raw in day) + frame[1],
            min((listed for listed, _ in day if listed is not None), default=None),
        )
        for day in days.values()
    ]
