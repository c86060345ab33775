"""What waits for what in a queue where nothing was compared yet."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from sinks.page.formats import age

# Without a comparison every counted annotation waits, and every verdict on an item of the queue.
_ANNOTATIONS: Final = """
SELECT level, count(*), count(DISTINCT item_id), max(at) FROM annotations WHERE queue = ? AND counted = 1 GROUP BY level
"""
_EVALUATIONS: Final = """
SELECT e.level, count(*), count(DISTINCT e.item_id), max(e.at)
FROM queue_items AS q CROSS JOIN evaluations AS e ON e.item_id = q.item_id AND e.current = 1
WHERE q.queue = ? AND q.deleted = 0
GROUP BY e.level
"""
_LEVELS: Final = ("trace", "span", "thread")


@dataclass(frozen=True, slots=True)
class Side:
    """Annotations, or evaluations, without the other side: how many, on how many items, of which levels, and how long
    ago the last one was.
    """

    number: int
    items: int
    levels: list[tuple[str, int]]
    last: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Both sides. Evaluations are known for queues whose items are announced."""

    annotations: Side
    evaluations: Side


def waiting(connection: sqlite3.Connection, queue: str, now: float) -> Waiting:
    """What waits in a queue without comparisons; `now` in seconds since epoch."""
    return Waiting(*(_side(connection.execute(sql, (queue,)).fetchall(), now) for sql in (_ANNOTATIONS, _EVALUATIONS)))


def _side(rows: list[tuple[str, int, int, int]], now: float) -> Side:
    by_level = {level: items for level, _, items, _ in rows}
    last = max((at for *_, at in rows), default=None)
    return Side(
        number=sum(number for _, number, _, _ in rows),
        items=sum(by_level.values()),
        levels=[(level, by_level[level]) for level in _LEVELS if level in by_level],
        last=None if last is None else age(now - last / 1000),
    )
