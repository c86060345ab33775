"""The layout around every page: the list of queues, and the time and staleness of the state."""

import sqlite3
from dataclasses import dataclass
from itertools import islice
from typing import Final

from aggregator.days import Window
from aggregator.snapshot.schema import SnapshotDocument
from sinks.api.services import Services
from sinks.page.urls import queue_path
from sinks.queries.queues import StoreState, emptied_queues, list_queues, read_state

RAIL: Final = 30
"""Most queues in the navigation; the start page lists all."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A queue in the navigation."""

    name: str
    href: str
    alignment: float | None
    current: bool


@dataclass(frozen=True, slots=True)
class Shell:
    """Content of the layout."""

    queues: list[Listed]
    more: bool
    """Whether more queues exist than `queues` has."""
    as_of: int | None
    """Time of the state in ms; None before the first checkpoint."""
    as_of_text: str
    now: int
    """Current time in ms."""
    stale: bool
    ready: bool
    stale_after_s: float

    @property
    def age_s(self) -> float:
        """Age of the state in seconds."""
        return 0.0 if self.as_of is None else max(0.0, (self.now - self.as_of) / 1000)


def shell(services: Services, connection: sqlite3.Connection, current: str | None = None) -> tuple[Shell, StoreState]:
    """The layout in the state that a connection sees; `current` is the queue of the page."""
    state = read_state(connection)
    emptied = emptied_queues(connection)
    standing = (entry for entry in list_queues(connection) if entry.queue not in emptied)
    entries = list(islice(standing, RAIL + 1))
    listed = [
        Listed(
            entry.queue,
            queue_path(entry.queue),
            _alignment(services.documents.build(connection, entry, state, Window.ALL)),
            entry.queue == current,
        )
        for entry in entries[:RAIL]
    ]
    readiness = services.readiness(state)
    return (
        Shell(
            queues=listed,
            more=len(entries) > RAIL,
            as_of=state.as_of,
            as_of_text=readiness["as_of"] or "",
            now=round(services.now() * 1000),
            stale=readiness["stale"],
            ready=readiness["ready"],
            stale_after_s=services.config.stale_after_s,
        ),
        state,
    )


def _alignment(document: SnapshotDocument | None) -> float | None:
    return None if document is None else document["cards"]["alignment"]
