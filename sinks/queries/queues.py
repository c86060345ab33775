"""Which state the store holds, which queues it has, and the few facts about a queue that no document carries."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

import orjson

from aggregator.ledger_ids import ledger_of_all
from aggregator.policy import Policy
from aggregator.tallies import SourcePosition
from sinks import budgets

_QUEUES: Final = """
SELECT id, queue, revision FROM queues AS q WHERE (
    EXISTS (SELECT 1 FROM annotations AS a WHERE a.queue = q.queue)
    OR EXISTS (SELECT 1 FROM queue_items AS i WHERE i.queue = q.queue))
"""


_ANNOTATORS: Final = """
WITH newest AS MATERIALIZED (
    SELECT a.id AS id, a.annotator AS annotator FROM annotations AS a INDEXED BY annotations_newest
    WHERE a.queue = :queue AND a.counted = 1 ORDER BY a.at DESC LIMIT :most)
SELECT annotator FROM newest WHERE annotator <> ''
UNION SELECT g.annotator FROM (SELECT 1 FROM partitions WHERE policy = 'majority' LIMIT 1)
CROSS JOIN newest AS n CROSS JOIN annotations AS a ON a.id = n.id AND a.median IS NOT NULL
CROSS JOIN annotations AS g ON g.queue = a.queue AND g.item_id = a.item_id AND g.criterion = a.criterion
WHERE g.deleted = 0 AND g.annotator <> ''
ORDER BY annotator LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class StoreState:
    """The state of the topics that the store holds."""

    as_of: int | None
    """Time in ms up to which the oldest partition is complete; None while no partition has a checkpoint."""
    ledger: str
    """Id of the ledger, joined with the renewals of its partitions; see `ledger_of_all`."""
    positions: dict[int, int]
    """Ledger offset by partition."""
    policy: Policy
    complete: dict[int, int]
    """Time in ms up to which each partition is complete: that of its last checkpoint."""
    rebuilding: int = 0
    """As `count_rebuilding` returns it."""


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A queue that at least one row names."""

    place: int
    """Place in the order in which queues were first seen."""
    queue: str
    revision: int
    """Number of changes to the queue; it is part of every document."""


def read_state(connection: sqlite3.Connection) -> StoreState:
    """The state that a connection sees."""
    rows = connection.execute(
        "SELECT partition, ledger, position, policy, at FROM partitions WHERE ledger IS NOT NULL ORDER BY at"
    ).fetchall()
    return StoreState(
        as_of=rows[0][4] if rows else None,
        ledger=ledger_of_all(row[1] for row in rows),
        positions={row[0]: row[2] for row in rows},
        policy=Policy(rows[-1][3]) if rows else Policy.EACH,
        complete={row[0]: row[4] for row in rows},
        rebuilding=count_rebuilding(connection),
    )


def count_rebuilding(connection: sqlite3.Connection) -> int:
    """Offsets of the evaluations topic that workers read again; see `sinks.queries.waiting`."""
    (offsets,) = connection.execute("SELECT sum(json_extract(waiting, '$.rebuilding')) FROM partitions").fetchone()
    return offsets or 0


def newest_queue(connection: sqlite3.Connection) -> int:
    """Place of the queue that was seen last; 0 without queues."""
    (place,) = connection.execute("SELECT coalesce(max(id), 0) FROM queues").fetchone()
    return int(place)


def list_queues(connection: sqlite3.Connection) -> Iterator[QueueEntry]:
    """Queues in the order in which they were first seen."""
    for row in connection.execute(f"{_QUEUES} ORDER BY id"):
        yield QueueEntry(*row)


def count_retracted(connection: sqlite3.Connection, queue: str) -> int:
    """The number of annotations of a queue that do not stand: retracted ones, and those of removed items."""
    (number,) = connection.execute(
        "SELECT count(*) FROM annotations WHERE queue = ? AND counted = 0", (queue,)
    ).fetchone()
    return int(number)


def find_queue(connection: sqlite3.Connection, queue: str) -> QueueEntry | None:
    """The queue of a name; None when no row names it."""
    row = connection.execute(f"{_QUEUES} AND queue = ?", (queue,)).fetchone()
    return None if row is None else QueueEntry(*row)


def source_positions(connection: sqlite3.Connection) -> dict[tuple[str, int], SourcePosition]:
    """What the stored state covers of the source topics, by topic and partition."""
    rows = connection.execute("SELECT partition, sources FROM partitions WHERE sources IS NOT NULL")
    return {
        (topic, partition): source for partition, sources in rows for topic, source in orjson.loads(sources).items()
    }


def last_annotated_at(connection: sqlite3.Connection, queue: str) -> int | None:
    """Time of a queue's newest counted annotation in ms; None when it has none."""
    (at,) = connection.execute("SELECT max(at) FROM annotations WHERE queue = ? AND counted = 1", (queue,)).fetchone()
    return cast("int | None", at)


def annotator_names(connection: sqlite3.Connection, queue: str, limit: int) -> list[str]:
    """Names of the annotators whose annotations are compared in a queue, alone or as part of a majority, sorted.

    In a queue with very many annotations, of the newest.
    """
    rows = connection.execute(_ANNOTATORS, {"queue": queue, "limit": limit, "most": budgets.LISTED_ANNOTATORS})
    return [name for (name,) in rows]


class LevelRows(NamedTuple):
    """Rows of one level (trace, span or thread)."""

    level: str
    rows: int
    items: int
    """Distinct items."""
    last_at: int
    """Time of the newest row in ms."""


def annotations_by_level(connection: sqlite3.Connection, queue: str) -> list[LevelRows]:
    """Counted annotations of a queue."""
    rows = connection.execute(
        "SELECT level, count(*), count(DISTINCT item_id), max(at) FROM annotations "
        "WHERE queue = ? AND counted = 1 GROUP BY level",
        (queue,),
    )
    return list(map(LevelRows._make, rows))


def newest_items(connection: sqlite3.Connection, queue: str, limit: int) -> tuple[list[str], list[str]]:
    """Ids of items that were annotated last in a queue, and of items of any queue that metrics judged last."""
    annotated = connection.execute(
        "SELECT item FROM annotations WHERE queue = ? AND counted = 1 GROUP BY item_id ORDER BY max(at) DESC LIMIT ?",
        (queue, limit),
    )
    # The newest rows of the table: finding the newest times would read all.
    judged = connection.execute(
        "SELECT DISTINCT item FROM (SELECT item FROM evaluations WHERE current = 1 ORDER BY id DESC LIMIT 1000) "
        "LIMIT ?",
        (limit,),
    )
    return [item for (item,) in annotated], [item for (item,) in judged]


def evaluations_by_level(connection: sqlite3.Connection, queue: str) -> list[LevelRows]:
    """Current evaluations of the items that queue-item rows place in a queue."""
    rows = connection.execute(
        "SELECT e.level, count(*), count(DISTINCT e.item_id), max(e.at) FROM queue_items AS q "
        "CROSS JOIN evaluations AS e ON e.item_id = q.item_id AND e.current = 1 "
        "WHERE q.queue = ? AND q.deleted = 0 GROUP BY e.level",
        (queue,),
    )
    return list(map(LevelRows._make, rows))
