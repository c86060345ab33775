"""How fact rows merge in the store, and what is derived from them in the same transaction.

Rows merge by the one law: the higher `version` stays, so order and duplicates do not matter. A row of another
partition is of another layout of the topics and always gives way. Derived, for whatever a merge may have
changed:

- `annotations.counted`: the annotation stands (it is not deleted and its item was not taken out of the queue)
  and is compared: always under policy `each`, the newest of its item, queue and criterion under `latest`;
- `evaluations.current`: the newest standing verdict of (item, metric) over judges;
- `evaluations.shown`: the newest failure where no verdict stands, unless the same judge's deletion is newer;
- `rated`: items with a counted annotation, how many by day, and the newest day;
- `shapes`: how many items of a queue are alike in all that its distinct items are counted by.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

import msgspec

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, parse, version
from aggregator.tallies import DAY_MS
from sinks.store.schema import SHAPE

SqlRow = tuple[str | bytes | int | float | None, ...]

_ANNOTATION: Final = (
    "queue", "item", "criterion", "annotator", "version", "partition", "at", "event", "level", "thumbs",
    "stars", "deleted", "explanation", "expected", "url", "number",
)  # fmt: skip
_EVALUATION: Final = (
    "item", "metric", "judge", "failure", "version", "partition", "at", "event", "level", "score",
    "threshold", "direction", "passed", "status", "deleted", "reason", "url", "number",
)  # fmt: skip
_QUEUE_ITEM: Final = ("queue", "item", "version", "partition", "at", "event", "level", "deleted", "url", "number")

_F = TypeVar("_F", Annotation, Evaluation, QueueItem)
_BOOLEANS: Final = frozenset({"deleted", "passed"})
_OF_ITEMS: Final = """
WHERE number IN (
    SELECT number FROM annotations WHERE queue = :queue UNION SELECT number FROM queue_items WHERE queue = :queue)
"""

_CHUNK: Final = 10_000
"""Rows in memory at a time."""


def _upsert(table: str, columns: tuple[str, ...], identity: tuple[str, ...], **guesses: str) -> str:
    """Insert or replace by the law. `guesses`: what is derived, as it will be of most new rows; written once then."""
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in identity)
    values = [f"?{number}" for number in range(1, len(columns) + 1)]
    named = dict(zip(columns, values, strict=True))
    guessed = [guess.format(**named) for guess in guesses.values()]
    return (
        f"INSERT INTO {table} ({', '.join((*columns, *guesses))}) VALUES ({', '.join((*values, *guessed))}) "
        f"ON CONFLICT ({', '.join(identity)}) DO UPDATE SET {changes} "
        f"WHERE excluded.version > {table}.version OR excluded.partition <> {table}.partition"
    )


_MERGE_ANNOTATIONS: Final = _upsert(
    "annotations", _ANNOTATION, ("queue", "number", "criterion", "annotator"), counted="NOT {deleted}"
)
_MERGE_EVALUATIONS: Final = _upsert(
    "evaluations",
    _EVALUATION,
    ("number", "metric", "failure", "judge"),
    current="NOT {failure} AND NOT {deleted}",
    shown="{failure}",
)
_MERGE_QUEUE_ITEMS: Final = _upsert("queue_items", _QUEUE_ITEM, ("queue", "number"))

TEMPORARY: Final = """
CREATE TEMP TABLE touched_rubrics (
    queue TEXT, number INTEGER, criterion TEXT, PRIMARY KEY (queue, number, criterion)
) WITHOUT ROWID;
CREATE TEMP TABLE touched_metrics (number INTEGER, metric TEXT, PRIMARY KEY (number, metric)) WITHOUT ROWID;
CREATE TEMP TABLE touched_items (queue TEXT, number INTEGER, PRIMARY KEY (queue, number)) WITHOUT ROWID;
CREATE TEMP TABLE reshaped (queue TEXT, number INTEGER, shape TEXT, old INTEGER);
"""
"""Tables of the writing connection: what the merge of one transaction may have changed."""

# A cross join keeps this order: SQLite knows nothing of a temporary table's size, and would rather look at every row.
# What is asked of annotations here is in the index.
_TOUCHED_ANNOTATIONS: Final = """
    touched_rubrics AS t CROSS JOIN annotations AS a INDEXED BY annotations_people
        ON a.queue = t.queue AND a.number = t.number AND a.criterion = t.criterion
"""
_TOUCHED_EVALUATIONS: Final = """
    SELECT f.id FROM touched_metrics AS t CROSS JOIN evaluations AS f ON f.number = t.number AND f.metric = t.metric
"""

# Most rows are right as they were written, and what is not written again costs no page: so only what differs is set.
# Where all partitions count each annotation, which ones differ is in the index too.
_FLAGS: Final = (
    f"""
    UPDATE annotations AS c SET counted = NOT counted
    WHERE c.id IN (
        SELECT a.id FROM {_TOUCHED_ANNOTATIONS}
        WHERE EXISTS (SELECT 1 FROM partitions AS p WHERE p.policy IS NOT 'each') OR a.counted <> (
            a.deleted = 0
            AND NOT EXISTS (
                SELECT 1 FROM queue_items AS q WHERE q.queue = a.queue AND q.number = a.number AND q.deleted = 1))
    ) AND c.counted <> (
        c.deleted = 0
        AND NOT EXISTS (
            SELECT 1 FROM queue_items AS q WHERE q.queue = c.queue AND q.number = c.number AND q.deleted = 1)
        AND (
            (SELECT p.policy FROM partitions AS p WHERE p.partition = c.partition) = 'each'
            OR c.id IS (
                SELECT b.id FROM annotations AS b
                WHERE b.queue = c.queue AND b.number = c.number AND b.criterion = c.criterion AND b.deleted = 0
                ORDER BY b.version DESC, b.annotator DESC LIMIT 1)))
    """,
    f"""
    UPDATE evaluations AS e SET current = NOT current
    WHERE e.id IN ({_TOUCHED_EVALUATIONS}) AND e.current <> (
        e.failure = 0 AND e.deleted = 0
        AND e.version IS (
            SELECT max(f.version) FROM evaluations AS f
            WHERE f.number = e.number AND f.metric = e.metric AND f.failure = 0 AND f.deleted = 0))
    """,
    f"""
    UPDATE evaluations AS e SET shown = NOT shown
    WHERE e.id IN ({_TOUCHED_EVALUATIONS}) AND (e.shown = 1 OR e.failure = 1) AND e.shown <> (
        e.failure = 1
        AND NOT EXISTS (
            SELECT 1 FROM evaluations AS f
            WHERE f.number = e.number AND f.metric = e.metric AND f.failure = 0 AND f.deleted = 0)
        AND e.version IS (
            SELECT max(f.version) FROM evaluations AS f
            WHERE f.number = e.number AND f.metric = e.metric AND f.failure = 1
                AND NOT EXISTS (
                    SELECT 1 FROM evaluations AS d
                    WHERE d.number = f.number AND d.metric = f.metric AND d.failure = 0 AND d.judge = f.judge
                        AND d.version > f.version)))
    """,
)

_RATED: Final = (
    """
    DELETE FROM rated WHERE (queue, number, criterion) IN (
        SELECT t.queue, t.number, t.criterion FROM touched_rubrics AS t WHERE NOT EXISTS (
            SELECT 1 FROM annotations AS a
            WHERE a.queue = t.queue AND a.number = t.number AND a.criterion = t.criterion AND a.counted = 1))
    """,
    f"""
    INSERT INTO rated (queue, number, criterion, day, days)
    SELECT queue, number, criterion, max(day), json_group_array(json_array(day, annotations)) FROM (
        SELECT a.queue, a.number, a.criterion, a.at / {DAY_MS} AS day, count(*) AS annotations
        FROM {_TOUCHED_ANNOTATIONS} WHERE a.counted = 1 GROUP BY a.queue, a.number, a.criterion, day)
    WHERE true GROUP BY queue, number, criterion
    ON CONFLICT (queue, number, criterion) DO UPDATE SET day = excluded.day, days = excluded.days
        WHERE days <> excluded.days
    """,
)

_SHAPES: Final = (
    """
    INSERT OR IGNORE INTO touched_items
    SELECT queue, number FROM touched_rubrics
    UNION SELECT s.queue, s.number FROM touched_metrics AS t CROSS JOIN shaped AS s ON s.number = t.number
    """,
    f"""
    INSERT INTO reshaped
    SELECT t.queue, t.number, {SHAPE}, (SELECT s.shape FROM shaped AS s WHERE s.number = t.number AND s.queue = t.queue)
    FROM touched_items AS t
    """,
    """
    UPDATE shapes AS s SET items = s.items - gone.items
    FROM (SELECT old, count(*) AS items FROM reshaped WHERE old IS NOT NULL GROUP BY old) AS gone WHERE s.id = gone.old
    """,
    """
    INSERT INTO shapes (queue, shape, items)
    SELECT queue, shape, count(*) FROM reshaped WHERE shape IS NOT NULL GROUP BY queue, shape
    ON CONFLICT (queue, shape) DO UPDATE SET items = items + excluded.items
    """,
    """
    DELETE FROM shaped WHERE (number, queue) IN (SELECT number, queue FROM reshaped WHERE shape IS NULL)
    """,
    """
    INSERT OR REPLACE INTO shaped (number, queue, shape)
    SELECT t.number, t.queue, s.id FROM reshaped AS t CROSS JOIN shapes AS s ON s.queue = t.queue AND s.shape = t.shape
    WHERE s.id IS NOT t.old
    """,
    "DELETE FROM shapes WHERE items = 0 AND id IN (SELECT old FROM reshaped)",
)

DERIVE: Final = (*_FLAGS, *_RATED, *_SHAPES)
"""Statements that derive what the temporary tables name, in this order."""


def annotation_row(fact: Annotation, number: int, partition: int) -> SqlRow:
    """An annotation as a row; `number` is that of its item."""
    return (
        fact.queue, fact.item, fact.criterion, fact.annotator, version(fact).encode(), partition, fact.at,
        fact.id, fact.level, fact.thumbs, fact.stars, fact.deleted, fact.explanation, fact.expected, fact.url, number,
    )  # fmt: skip


def evaluation_row(fact: Evaluation, number: int, partition: int) -> SqlRow:
    """An evaluation as a row; `number` is that of its item."""
    return (
        fact.item, fact.metric, fact.judge, fact.failed, version(fact).encode(), partition, fact.at, fact.id,
        fact.level, fact.score, fact.threshold, fact.direction, fact.passed, fact.status, fact.deleted,
        fact.reason, fact.url, number,
    )  # fmt: skip


def queue_item_row(fact: QueueItem, number: int, partition: int) -> SqlRow:
    """A queue item as a row; `number` is that of its item."""
    return (
        fact.queue, fact.item, version(fact).encode(), partition, fact.at, fact.id, fact.level, fact.deleted,
        fact.url, number,
    )  # fmt: skip


def merge(connection: sqlite3.Connection, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> set[str]:
    """Merge ledger rows of a partition, within the caller's transaction, and note what they may have changed.

    Gives the queues that annotations and queue items name. Raises ValueError for a record that is no row.
    """
    queues: set[str] = set()
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK)):
        queues |= _merge_chunk(connection, partition, chunk)
    return queues


def _merge_chunk(connection: sqlite3.Connection, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> set[str]:
    annotations: list[SqlRow] = []
    evaluations: list[SqlRow] = []
    queue_items: list[SqlRow] = []
    rubrics: set[tuple[str, int, str]] = set()
    metrics: set[tuple[int, str]] = set()
    items: set[tuple[str, int]] = set()
    numbers: dict[str, int] = {}
    for key, value in rows:
        fact = parse(key, value)
        number = numbers.get(fact.item)
        if number is None:
            number = numbers[fact.item] = _number(connection, fact.item)
        if isinstance(fact, Annotation):
            annotations.append(annotation_row(fact, number, partition))
            rubrics.add((fact.queue, number, fact.criterion))
        elif isinstance(fact, Evaluation):
            evaluations.append(evaluation_row(fact, number, partition))
            metrics.add((number, fact.metric))
        else:
            queue_items.append(queue_item_row(fact, number, partition))
            items.add((fact.queue, number))
    connection.executemany(_MERGE_ANNOTATIONS, annotations)
    connection.executemany(_MERGE_EVALUATIONS, evaluations)
    connection.executemany(_MERGE_QUEUE_ITEMS, queue_items)
    connection.executemany("INSERT OR IGNORE INTO touched_rubrics VALUES (?, ?, ?)", rubrics)
    connection.executemany("INSERT OR IGNORE INTO touched_metrics VALUES (?, ?)", metrics)
    connection.executemany(
        "INSERT OR IGNORE INTO touched_rubrics "
        "SELECT queue, number, criterion FROM annotations WHERE queue = ? AND number = ?",
        items,
    )
    connection.executemany("INSERT OR IGNORE INTO touched_items VALUES (?, ?)", items)
    return {queue for queue, *_ in rubrics} | {queue for queue, _ in items}


def _number(connection: sqlite3.Connection, item: str) -> int:
    """The number of an item; the next one where it has none yet."""
    found = connection.execute("SELECT number FROM items WHERE item = ?", (item,)).fetchone()
    if found is None:
        found = connection.execute("INSERT INTO items (item) VALUES (?) RETURNING number", (item,)).fetchone()
    return int(found[0])


def touch_annotations(connection: sqlite3.Connection, partition: int) -> None:
    """Note that all annotations of a partition must be derived again: its policy changed."""
    connection.execute(
        "INSERT OR IGNORE INTO touched_rubrics SELECT queue, number, criterion FROM annotations WHERE partition = ?",
        (partition,),
    )


def drop_rows(connection: sqlite3.Connection, condition: str, value: int) -> None:
    """Delete the rows whose partition meets `condition` (an SQL comparison), and note what that may have
    changed.

    Rows of an item lie in one partition, but a rebuild with another number of partitions can drop an item's
    annotations before its new ones arrive.
    """
    where = f"WHERE partition {condition}"
    connection.execute(
        f"INSERT OR IGNORE INTO touched_rubrics SELECT queue, number, criterion FROM annotations {where}",
        (value,),
    )
    connection.execute(
        "INSERT OR IGNORE INTO touched_rubrics SELECT a.queue, a.number, a.criterion "
        "FROM queue_items AS q JOIN annotations AS a ON a.queue = q.queue AND a.number = q.number "
        f"WHERE q.partition {condition}",
        (value,),
    )
    connection.execute(f"INSERT OR IGNORE INTO touched_items SELECT queue, number FROM queue_items {where}", (value,))
    connection.execute(
        f"INSERT OR IGNORE INTO touched_metrics SELECT number, metric FROM evaluations {where}", (value,)
    )
    for table in ("annotations", "evaluations", "queue_items"):
        connection.execute(f"DELETE FROM {table} {where}", (value,))


def derive(connection: sqlite3.Connection) -> None:
    """Derive what the merges of this transaction may have changed. The partitions' policies must be set
    before.
    """
    for statement in DERIVE:
        connection.execute(statement)
    for table in ("touched_rubrics", "touched_metrics", "touched_items", "reshaped"):
        connection.execute(f"DELETE FROM {table}")


def facts_of(connection: sqlite3.Connection, queue: str | None) -> Iterator[Fact]:
    """The current rows as facts, deletions and failures included.

    With a queue: its annotations and queue items, and the evaluations of the items that these name.
    """
    values = {} if queue is None else {"queue": queue}
    of_queue = "" if queue is None else "WHERE queue = :queue"
    of_items = "" if queue is None else _OF_ITEMS
    yield from _facts(connection, Annotation, f"annotations {of_queue}", values)
    yield from _facts(connection, Evaluation, f"evaluations {of_items}", values)
    yield from _facts(connection, QueueItem, f"queue_items {of_queue}", values)


def _facts(connection: sqlite3.Connection, kind: type[_F], source: str, values: dict[str, str]) -> Iterator[_F]:
    names = kind.__struct_fields__
    columns = ", ".join("event" if name == "id" else name for name in names)
    for row in connection.execute(f"SELECT {columns} FROM {source}", values):
        fields = dict(zip(names, row, strict=True))
        for name in _BOOLEANS & fields.keys():
            fields[name] = None if fields[name] is None else bool(fields[name])
        yield msgspec.convert(fields, kind)
