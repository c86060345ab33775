"""Chunks of records that are handled without an await, bounded in time, so that heartbeats and other tasks run."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

CHUNK_RECORDS: Final = 1000
"""Most records of a chunk."""
CHUNK_SECONDS: Final = 0.1
"""A chunk that takes longer makes the next one smaller."""
_FIRST: Final = 50

ASKED: Final = 7
"""Asking `ends_before` costs as much as a part of a record: it is asked at indexes without these bits."""

_Record = TypeVar("_Record")


class Chunks:
    """Divides records into chunks, by the time that those before took.

    Nearly all records cost microseconds. One that moves thousands of comparisons costs milliseconds, and they come
    together: then chunks shrink, down to one record. The first of them may come in a chunk of a thousand, which ends
    early (`ends_before`).

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._size = _FIRST
        self._taken = 0
        self._began = self._step_began = clock()

    def of(self, records: Sequence[_Record]) -> Iterator[Sequence[_Record]]:
        """The records in chunks; call `handled` after each, before any await."""
        start = 0
        while start < len(records):
            chunk = records[start : start + self._size]
            self._taken = len(chunk)
            self.begin_step()
            self._began = self._step_began
            yield chunk
            start += self._taken

    def begin_step(self) -> Callable[[int], bool]:
        """Another step begins, which takes the records of the chunk one after the other; returns `ends_before`."""
        self._step_began = self._clock()
        return self.ends_before

    def ends_before(self, index: int) -> bool:
        """Whether the chunk ends before its record with this index, because a step takes too long.

        Then the next chunk begins with that record. A chunk has at least one.
        """
        if not index or self._clock() - self._step_began <= CHUNK_SECONDS:
            return False
        self._taken = index
        return True

    def handled(self) -> None:
        """The chunk is handled: choose the size of the next one."""
        seconds = self._clock() - self._began
        if seconds > CHUNK_SECONDS:
            self._size = max(1, int(self._taken * CHUNK_SECONDS / seconds))
        elif 2 * seconds < CHUNK_SECONDS:
            self._size = min(2 * self._size, CHUNK_RECORDS)
