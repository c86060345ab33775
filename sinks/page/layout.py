"""What surrounds every page: the list of queues, the state's time, and whether it is stale."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aggregator.days import Window
from aggregator.snapshot.schema import SnapshotDocument
from sinks.api.services import Services
from sinks.documents import QueueEntry, State, read_state
from sinks.page.urls import queue_path

RAIL: Final = 30
"""Queues listed beside a page at most; the start page has them all."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A queue in the rail."""

    name: str
    href: str
    alignment: float | None
    current: bool


@dataclass(frozen=True, slots=True)
class Shell:
    """Around a page. `as_of` and `now` are in ms; `as_of` is None before the first checkpoint was read."""

    queues: list[Listed]
    more: bool
    as_of: int | None
    as_of_text: str
    now: int
    stale: bool
    ready: bool
    stale_after_s: float

    @property
    def age_s(self) -> float:
        """Age of the state in seconds."""
        return 0.0 if self.as_of is None else max(0.0, (self.now - self.as_of) / 1000)


def shell(services: Services, connection: sqlite3.Connection, current: str | None = None) -> tuple[Shell, State]:
    """What surrounds a page, in the state that a connection sees; `current` is the queue shown."""
    state = read_state(connection)
    documents = services.documents
    entries = list(documents.queues(connection, limit=RAIL + 1))
    listed = [
        Listed(entry.queue, queue_path(entry.queue), _alignment(made), entry.queue == current)
        for entry, made in _made(services, connection, state, entries[:RAIL])
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


def _made(
    services: Services, connection: sqlite3.Connection, state: State, entries: Iterable[QueueEntry]
) -> Iterable[tuple[QueueEntry, SnapshotDocument | None]]:
    for entry in entries:
        yield entry, services.documents.make(connection, entry, state, Window.ALL)


def _alignment(made: SnapshotDocument | None) -> float | None:
    return None if made is None else made["cards"]["alignment"]
