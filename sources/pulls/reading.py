"""One reading of a stream: how much of it a pull may read, and where the next pull goes on."""

from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from streams.runtime.errors import EvalAlignmentError

MAX_RECORDS: Final = 2_000_000
"""Most records that a pull reads of a stream, also of the lists that lead to them, such as those of queues."""
MAX_REQUESTS: Final = 100_000
"""Most requests that a pull sends for a stream."""

Bookmark = TypeVar("Bookmark")


class ReadingLimitError(EvalAlignmentError):
    """A pull has read as much of a stream as one pull may."""


@dataclass(slots=True)
class PullReading:
    """What a stream is asked for, and what a pull has read of it.

    The connection counts each request, page guards count what lists have, and the pull counts records. A limit ends the
    reading before its next request.
    """

    since: int | None = None
    """Listing time in milliseconds from which on records are read; None: all."""
    started: int = 0
    """When the first pull of this reading began, in milliseconds."""
    bookmark: Any = None
    """Where to go on, as JSON; None: at the start of the stream.

    The stream sets it when all records before it have been taken, that is after its pages were yielded. It must be a
    place that records do not pass by, or that shows when they did.
    """
    requests: int = 0
    listed: int = 0
    """Entries of all lists, repeated ones included. One with a long id counts as several."""
    records: int = 0
    """Different records."""

    def resume(self, shape: type[Bookmark]) -> Bookmark | None:
        """The bookmark in a shape; None at the start, and for one that another release kept in another shape."""
        if self.bookmark is None:
            return None
        try:
            return msgspec.convert(self.bookmark, shape)
        except msgspec.ValidationError:
            return None

    def keep(self, place: object) -> None:
        """Set the bookmark to a place, which `resume` returns."""
        self.bookmark = msgspec.to_builtins(place)

    def count_request(self) -> None:
        """Count a request before it is sent. Raises ReadingLimitError when a limit is reached."""
        if self.requests >= MAX_REQUESTS or max(self.listed, self.records) >= MAX_RECORDS:
            raise ReadingLimitError
        self.requests += 1

    def count_listed(self, count: int) -> None:
        """Count the entries of a page of any list."""
        self.listed += count

    def count_records(self, count: int) -> None:
        """Set how many different records have been read."""
        self.records = count
