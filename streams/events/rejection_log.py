"""Logs rejected events where an operator looks: one line for each origin, reason and minute, with an example."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streams.events.example import RejectedExample

_log = logging.getLogger(__name__)

_LOG_SECONDS: Final = 60.0
_CHECK_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Unlogged:
    due: float = 0.0
    """When the next line may be logged."""
    events: int = 0
    """Events since the last line."""
    example: RejectedExample | None = None
    """The first of them."""


Report = Callable[[str, int, RejectedExample], None]
"""Takes the origin, the number of events, and one of them."""


def _to_log(origin: str, events: int, example: RejectedExample) -> None:
    _log.warning("events rejected: %s, reason=%s, events=%d, for example %s", origin, example.reason, events, example)


class RejectionLog:
    """Takes rejected events, and reports the first of an origin and reason immediately, the others once a minute.

    Args:
        clock: returns seconds.
        report: called with each line; by default it is logged.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, report: Report = _to_log) -> None:
        self._clock = clock
        self._report = report
        self._pending: dict[tuple[str, str], _Unlogged] = {}

    def note(self, origin: str, events: int, example: RejectedExample) -> None:
        """Take rejected events of one reason.

        Args:
            origin: where they come from, as a field: `topic=...`, `source=...` or `sender=...`.
            events: their number.
            example: one of them; it has the reason.
        """
        unlogged = self._pending.setdefault((origin, example.reason), _Unlogged())
        unlogged.events += events
        unlogged.example = unlogged.example or example
        self._log_due(origin, unlogged)

    def flush(self) -> None:
        """Log what was taken since the last lines, where a line is due."""
        for (origin, _), unlogged in self._pending.items():
            self._log_due(origin, unlogged)

    async def run(self) -> None:
        """Flush until cancelled, so that the last events of a minute are in the log too."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            self.flush()

    def _log_due(self, origin: str, unlogged: _Unlogged) -> None:
        now = self._clock()
        if unlogged.example is None or now < unlogged.due:
            return
        example, unlogged.example = unlogged.example, None
        self._report(origin, unlogged.events, example)
        unlogged.due, unlogged.events = now + _LOG_SECONDS, 0
