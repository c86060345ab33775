"""The layout around every page: the list of queues, and the time and staleness of the state."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sinks.api.services import Services
from sinks.page.urls import queue_path
from sinks.queries.queues import StoreState, read_state
from sinks.queue_index import sort_queues

RAIL: Final = 30
"""Most queues in the navigation, those with most comparisons; the start page lists all."""


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
    stale_reason: str
    """Why, in words; empty while the state is not stale."""
    ready: bool
    stale_after_s: float
    rejected: Mapping[str, int]
    """Number of events that were rejected in the last hour, by reason."""
    foreign_rows: int
    """Number of counted rows that another program than a worker wrote."""
    rebuilding: int
    """Offsets of the evaluations topic that workers read again."""

    @property
    def stale_sentence(self) -> str:
        """The reason as a sentence."""
        return f"{self.stale_reason[:1].upper()}{self.stale_reason[1:]}."

    @property
    def age_s(self) -> float:
        """Age of the state in seconds."""
        return 0.0 if self.as_of is None else max(0.0, (self.now - self.as_of) / 1000)


def shell(services: Services, connection: sqlite3.Connection, current: str | None = None) -> tuple[Shell, StoreState]:
    """The layout in the state that a connection sees; `current` is the queue of the page."""
    state = read_state(connection)
    queues = services.documents.index.at_hand(connection)
    standing = sort_queues([totals for totals in queues if totals.standing])
    shown = standing[:RAIL]
    # The queue of the page is always in the navigation.
    shown += [totals for totals in queues if totals.entry.queue == current and totals not in shown]
    listed = [
        Listed(
            totals.entry.queue,
            queue_path(totals.entry.queue),
            totals.alignment,
            totals.entry.queue == current,
        )
        for totals in shown
    ]
    if current is not None and not any(each.current for each in listed):
        listed.append(Listed(current, queue_path(current), None, True))
    readiness = services.readiness(state)
    return (
        Shell(
            queues=listed,
            more=len(standing) > RAIL,
            as_of=state.as_of,
            as_of_text=readiness["as_of"] or "",
            now=round(services.now() * 1000),
            stale=readiness["stale"],
            stale_reason=readiness["stale_reason"] or "",
            ready=readiness["ready"],
            stale_after_s=services.config.stale_after_s,
            rejected=readiness["rejected_last_hour"],
            foreign_rows=services.foreign_rows(),
            rebuilding=state.rebuilding,
        ),
        state,
    )
