"""What a queue without comparisons waits for, and what waits for an annotation in no queue."""

import json
import shlex
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aggregator.names import printable
from sinks.page.formats import age
from sinks.page.wording import isolated, waiting_words
from sinks.queries.queues import (
    LevelRows,
    annotations_by_level,
    count_retracted,
    evaluations_by_level,
    newest_items,
)
from sinks.queries.waiting import waiting_evaluations

_SAMPLES: Final = 3
_LEVELS: Final = ("trace", "span", "thread")


@dataclass(frozen=True, slots=True)
class Side:
    """Annotations or evaluations that wait for the other side."""

    number: int
    items: int
    levels: list[tuple[str, int]]
    """Items by level."""
    last: str | None
    """How long ago the newest one was made."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Both sides of a queue without comparisons: all counted annotations, and all current evaluations of the items that
    queue-item events place in the queue.
    """

    annotations: Side
    evaluations: Side
    retracted: int
    """Annotations that were retracted, or whose items were removed."""
    elsewhere: str
    """Evaluations that wait and are in no queue, in words; empty without any."""
    annotated: list[str]
    """Some items that people annotated in this queue."""
    judged: list[str]
    """Some items that metrics judged, of any queue."""
    commands: list[str]
    """Shell commands that send an annotation and an evaluation of one item."""


def waiting(connection: sqlite3.Connection, queue: str, now: float) -> Waiting:
    """What waits in a queue without comparisons; `now` in seconds since epoch."""
    annotated, judged = newest_items(connection, queue, _SAMPLES)
    return Waiting(
        annotations=_side(annotations_by_level(connection, queue), now),
        evaluations=_side(evaluations_by_level(connection, queue), now),
        retracted=count_retracted(connection, queue),
        elsewhere=waiting_in_words(connection),
        annotated=annotated,
        judged=judged,
        commands=_commands(queue, (annotated or judged or ["trace-1"])[0], now),
    )


def _commands(queue: str, item: str, now: float) -> list[str]:
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    events: tuple[dict[str, object], ...] = (
        {"id": "a-1", "at": at, "queue": queue, "item": item, "annotator": "ann", "thumbs": "up"},
        {"id": "e-1", "at": at, "item": item, "metric": "helpfulness", "score": 0.9, "threshold": 0.5},
    )
    # JSON escapes all that is not ASCII, so a command looks like what it does.
    return [f"echo {shlex.quote(json.dumps(event))} | eval-alignment load -" for event in events]


def waiting_in_words(connection: sqlite3.Connection) -> str:
    """The evaluations of all items that no annotation and no queue item names; empty when none is known to wait."""
    waiting = waiting_evaluations(connection)
    return "" if waiting is None else waiting_words(waiting, lambda name: isolated(printable(name)))


def _side(rows: Sequence[LevelRows], now: float) -> Side:
    items = {row.level: row.items for row in rows}
    last = max((row.last_at for row in rows), default=None)
    return Side(
        number=sum(row.rows for row in rows),
        items=sum(items.values()),
        levels=[(level, items[level]) for level in _LEVELS if level in items],
        last=None if last is None else age(now - last / 1000),
    )
