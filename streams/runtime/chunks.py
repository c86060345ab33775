"""Chunks of records that are handled without an await, bounded in time, so that heartbeats and other tasks run."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

CHUNK_RECORDS: Final = 1000
"""Most records of a chunk."""
CHUNK_SECONDS: Final = 0.1
"""A chunk that takes longer makes the next one smaller."""
_FIRST: Final = 50

_Record = TypeVar("_Record")


class Chunks:
    """Divides records into chunks, by the time that those before took.

    Nearly all records cost microseconds. One that moves thousands of comparisons costs milliseconds, and they come
    together: then chunks shrink, down to one record.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._size = _FIRST
        self._began = clock()

    def of(self, records: Sequence[_Record]) -> Iterator[Sequence[_Record]]:
        """The records in chunks; call `handled` after each, before any await."""
        start = 0
        while start < len(records):
            chunk = records[start : start + self._size]
            start += len(chunk)
            self._began = self._clock()
            yield chunk

    def handled(self) -> None:
        """The chunk is handled: choose the size of the next one."""
        seconds = self._clock() - self._began
        if seconds > CHUNK_SECONDS:
            self._size = max(1, int(self._size * CHUNK_SECONDS / seconds))
        elif 2 * seconds < CHUNK_SECONDS:
            self._size = min(2 * self._size, CHUNK_RECORDS)
