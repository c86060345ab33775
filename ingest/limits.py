"""The budget of bytes in flight: what all requests together hold in memory until the broker, or a client, has it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    import asyncio

TURN: Final = 250
"""Events handled before other requests have their turn."""
TURN_BYTES: Final = 1 << 18
"""Bytes of events handled before other requests have their turn."""
LARGE_BYTES: Final = 1 << 14
"""Bytes above which a request is large: small ones are served while large ones wait for each other."""


@dataclass(slots=True)
class Budget:
    """Bytes that requests may hold, and those that they do hold."""

    limit: int
    changed: Callable[[int], object] = lambda _: None
    """Called with the bytes in flight after each change."""
    kept: int = 0
    """Bytes of the limit that only small requests may take."""
    used: int = 0
    within: "Budget | None" = None
    """The budget of which this one is a part: what is taken here is taken there too."""

    def take(self, size: int, *, large: bool) -> None:
        """Take bytes. Raises HTTPException (429) when they are not left."""
        if self.used + size > self.limit - (self.kept if large else 0):
            raise HTTPException(
                429,
                f"{self.used:,} bytes of other requests wait for the broker, or for clients that do not read their "
                f"answers, at most {self.limit:,} are allowed: retry later, with fewer requests at a time (setting "
                "`ingest_in_flight_bytes`)",
                {"Retry-After": "1"},
            )
        if self.within is not None:
            self.within.take(size, large=large)
        self._add(size)

    def release(self, size: int) -> None:
        """Return bytes."""
        if self.within is not None:
            self.within.release(size)
        self._add(-size)

    def _add(self, size: int) -> None:
        self.used += size
        self.changed(self.used)


@dataclass(slots=True)
class Reservation:
    """What one request holds of the budget. A context manager: at its end everything is returned."""

    budget: Budget
    held: int = 0
    _pending: Collection["asyncio.Future[Any]"] = field(default=())

    def grow(self, size: int) -> None:
        """Hold more bytes. Raises HTTPException (429) when they are not left."""
        self.budget.take(size, large=self.held + size > LARGE_BYTES)
        self.held += size

    def resize(self, size: int) -> None:
        """Hold this many bytes from now on. Raises HTTPException (429) when they are not left."""
        self.grow(size - self.held)

    def keep_until_done(self, pending: Collection["asyncio.Future[Any]"]) -> None:
        """Return what is held only when these are done, since the producer keeps their records until then."""
        self._pending = pending

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        budget, held, left = self.budget, self.held, len(self._pending)

        def done(future: "asyncio.Future[Any]") -> None:
            nonlocal left
            left -= 1
            if not future.cancelled():
                # Otherwise asyncio logs an error that nobody has seen.
                future.exception()
            if left == 0:
                budget.release(held)

        for future in self._pending:
            future.add_done_callback(done)
        if not self._pending:
            budget.release(held)
