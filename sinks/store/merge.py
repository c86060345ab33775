"""Merges fact rows in the store, and notes what must be derived again in the same transaction (`sinks.store.derive`).

Rows merge by one law: the higher `version` wins, so order and duplicates do not matter. A stored row of another
partition belongs to another layout of the topics and is always replaced.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
import orjson

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, parse, version
from sinks.store.damage import is_damage

SqlRow = tuple[str | bytes | int | float | None, ...]

_ANNOTATION: Final = (
    "queue", "item", "criterion", "annotator", "version", "partition", "at", "event", "level", "thumbs",
    "stars", "deleted", "explanation", "expected", "url", "item_id", "input", "output", "tags",
)  # fmt: skip
_EVALUATION: Final = (
    "item", "metric", "judge", "failure", "version", "partition", "at", "event", "level", "score",
    "threshold", "direction", "passed", "status", "deleted", "reason", "url", "item_id",
    "input", "output", "tags",
)  # fmt: skip
_QUEUE_ITEM: Final = (
    "queue", "item", "version", "partition", "at", "event", "level", "deleted", "url", "item_id", "input", "output",
    "tags",
)  # fmt: skip

_F = TypeVar("_F", Annotation, Evaluation, QueueItem)
_BOOLEANS: Final = frozenset({"deleted", "passed"})
_OF_ITEMS: Final = """
WHERE item_id IN (
    SELECT item_id FROM annotations WHERE queue = :queue UNION SELECT item_id FROM queue_items WHERE queue = :queue)
"""

# Only widened: rows that are replaced may have been the reason.
_NOTE_SCALE: Final = """
INSERT INTO judge_scales VALUES (?1, ?2, ?3, ?3, ?4)
ON CONFLICT (metric, judge) DO UPDATE SET
    lowest = coalesce(min(lowest, excluded.lowest), lowest, excluded.lowest),
    highest = coalesce(max(highest, excluded.highest), highest, excluded.highest),
    sizes = sizes | excluded.sizes
WHERE lowest IS NOT coalesce(min(lowest, excluded.lowest), lowest, excluded.lowest)
    OR highest IS NOT coalesce(max(highest, excluded.highest), highest, excluded.highest)
    OR sizes <> sizes | excluded.sizes
"""
_TENS: Final = 10

_CHUNK: Final = 10_000
"""Most rows in memory."""


def _upsert(
    table: str, columns: tuple[str, ...], identity: tuple[str, ...], unset: tuple[str, ...] = (), **guesses: str
) -> str:
    """SQL: insert or replace by the law.

    `unset`: derived columns that a replaced row loses. `guesses`: derived columns with the values that most new rows
    get, so that most rows are written once.
    """
    changed = [f"{column} = excluded.{column}" for column in columns if column not in identity]
    changes = ", ".join((*changed, *(f"{column} = NULL" for column in unset)))
    values = [f"?{index}" for index in range(1, len(columns) + 1)]
    named = dict(zip(columns, values, strict=True))
    guessed = [guess.format(**named) for guess in guesses.values()]
    return (
        f"INSERT INTO {table} ({', '.join((*columns, *guesses))}) VALUES ({', '.join((*values, *guessed))}) "
        f"ON CONFLICT ({', '.join(identity)}) DO UPDATE SET {changes} "
        f"WHERE excluded.version > {table}.version OR excluded.partition <> {table}.partition"
    )


_MERGE_ANNOTATIONS: Final = _upsert(
    "annotations",
    _ANNOTATION,
    ("queue", "item_id", "criterion", "annotator"),
    unset=("median",),
    counted="NOT {deleted}",
)
_MERGE_EVALUATIONS: Final = _upsert(
    "evaluations",
    _EVALUATION,
    ("item_id", "metric", "failure", "judge"),
    current="NOT {failure} AND NOT {deleted}",
    shown="{failure}",
)
_MERGE_QUEUE_ITEMS: Final = _upsert("queue_items", _QUEUE_ITEM, ("queue", "item_id"))


def annotation_row(fact: Annotation, item_id: int, partition: int) -> SqlRow:
    """An annotation as a row."""
    return (
        fact.queue, fact.item, fact.criterion, fact.annotator, version(fact).encode(), partition, fact.at,
        fact.id, fact.level, fact.thumbs, fact.stars, fact.deleted, fact.explanation, fact.expected, fact.url, item_id,
        fact.input, fact.output, _json(fact.tags),
    )  # fmt: skip


def evaluation_row(fact: Evaluation, item_id: int, partition: int) -> SqlRow:
    """An evaluation as a row."""
    return (
        fact.item, fact.metric, fact.judge, fact.failed, version(fact).encode(), partition, fact.at, fact.id,
        fact.level, fact.score, fact.threshold, fact.direction, fact.passed, fact.status, fact.deleted,
        fact.reason, fact.url, item_id, fact.input, fact.output, _json(fact.tags),
    )  # fmt: skip


def queue_item_row(fact: QueueItem, item_id: int, partition: int) -> SqlRow:
    """A queue item as a row."""
    return (
        fact.queue, fact.item, version(fact).encode(), partition, fact.at, fact.id, fact.level, fact.deleted,
        fact.url, item_id, fact.input, fact.output, _json(fact.tags),
    )  # fmt: skip


def _json(tags: dict[str, str] | None) -> str | None:
    return None if tags is None else orjson.dumps(tags).decode()


_LAST_ID: Final = 1 << 40
"""No table has more rows."""

OnInvalid = Callable[[bytes, ValueError], None]
"""Called with the key of a ledger row that is invalid, and why; the row is passed over."""


def refuse_invalid(key: bytes, error: ValueError) -> None:
    """Pass over no invalid row."""
    raise ValueError(f"invalid ledger row {key[:200]!r}: {error}") from error


def merge(
    connection: sqlite3.Connection, partition: int, rows: Iterable[tuple[bytes, bytes]], on_invalid: OnInvalid
) -> set[str]:
    """Merge ledger rows of a partition in the caller's transaction, and note what they may have changed.

    Returns the queues that annotations and queue items name.
    """
    queues: set[str] = set()
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK)):
        queues |= _merge_chunk(connection, partition, chunk, on_invalid)
    return queues


def _merge_chunk(
    connection: sqlite3.Connection, partition: int, rows: Iterable[tuple[bytes, bytes]], on_invalid: OnInvalid
) -> set[str]:
    annotations: list[SqlRow] = []
    evaluations: list[SqlRow] = []
    queue_items: list[SqlRow] = []
    criteria: set[tuple[str, int, str]] = set()
    metrics: set[tuple[int, str]] = set()
    judges: set[tuple[str, str]] = set()
    scales: set[tuple[str, str, float | None, int]] = set()
    items: set[tuple[str, int]] = set()
    item_ids: dict[str, int] = {}
    for key, value in rows:
        try:
            fact = parse(key, value)
        except ValueError as error:
            on_invalid(key, error)
            continue
        item_id = item_ids.get(fact.item)
        if item_id is None:
            item_id = item_ids[fact.item] = _item_id(connection, fact.item)
        if isinstance(fact, Annotation):
            annotations.append(annotation_row(fact, item_id, partition))
            criteria.add((fact.queue, item_id, fact.criterion))
        elif isinstance(fact, Evaluation):
            evaluations.append(evaluation_row(fact, item_id, partition))
            metrics.add((item_id, fact.metric))
            judges.add((fact.metric, fact.judge))
            if fact.score is not None:
                scales.add((fact.metric, fact.judge, fact.threshold, _size(fact.score)))
        else:
            queue_items.append(queue_item_row(fact, item_id, partition))
            items.add((fact.queue, item_id))
    connection.executemany(_MERGE_ANNOTATIONS, annotations)
    connection.executemany(_MERGE_EVALUATIONS, evaluations)
    connection.executemany(_MERGE_QUEUE_ITEMS, queue_items)
    connection.executemany(_NOTE_SCALE, scales)
    connection.executemany("INSERT OR IGNORE INTO touched_criteria VALUES (?, ?, ?)", criteria)
    connection.executemany("INSERT OR IGNORE INTO touched_metrics VALUES (?, ?)", metrics)
    connection.executemany("INSERT OR IGNORE INTO touched_judges VALUES (?, ?)", judges)
    connection.executemany(
        "INSERT OR IGNORE INTO touched_criteria "
        "SELECT queue, item_id, criterion FROM annotations WHERE queue = ? AND item_id = ?",
        items,
    )
    connection.executemany("INSERT OR IGNORE INTO touched_items VALUES (?, ?)", items)
    return {queue for queue, *_ in criteria} | {queue for queue, _ in items}


def _size(score: float) -> int:
    """The size of a score, as `judge_scales` has it."""
    size = abs(score)
    if size >= _TENS:
        return 4
    return 2 if size > 1 else int(0 < size < 1)


def _item_id(connection: sqlite3.Connection, item: str) -> int:
    """The id of an item in the store; a new one when it has none."""
    row = connection.execute("SELECT item_id FROM items WHERE item = ?", (item,)).fetchone()
    if row is None:
        row = connection.execute("INSERT INTO items (item) VALUES (?) RETURNING item_id", (item,)).fetchone()
    return int(row[0])


def touch_annotations(connection: sqlite3.Connection, partition: int) -> None:
    """Note that all annotations of a partition must be derived again, because its policy changed."""
    connection.execute("UPDATE annotations SET median = NULL WHERE partition = ? AND median IS NOT NULL", (partition,))
    connection.execute(
        "INSERT OR IGNORE INTO touched_criteria SELECT queue, item_id, criterion FROM annotations WHERE partition = ?",
        (partition,),
    )


def drop_rows(connection: sqlite3.Connection, condition: str, value: int) -> None:
    """Delete the rows whose partition meets `condition` (an SQL comparison), and note what that may have changed.

    All rows of an item are in one partition, but a rebuild with another number of partitions can delete an item's
    annotations before the new ones arrive.
    """
    where = f"WHERE partition {condition}"
    connection.execute(
        f"INSERT OR IGNORE INTO touched_criteria SELECT queue, item_id, criterion FROM annotations {where}",
        (value,),
    )
    connection.execute(
        "INSERT OR IGNORE INTO touched_criteria SELECT a.queue, a.item_id, a.criterion "
        "FROM queue_items AS q JOIN annotations AS a ON a.queue = q.queue AND a.item_id = q.item_id "
        f"WHERE q.partition {condition}",
        (value,),
    )
    connection.execute(f"INSERT OR IGNORE INTO touched_items SELECT queue, item_id FROM queue_items {where}", (value,))
    connection.execute(
        f"INSERT OR IGNORE INTO touched_metrics SELECT item_id, metric FROM evaluations {where}", (value,)
    )
    connection.execute(f"INSERT OR IGNORE INTO touched_judges SELECT metric, judge FROM evaluations {where}", (value,))
    for table in ("annotations", "evaluations", "queue_items"):
        connection.execute(f"DELETE FROM {table} {where}", (value,))


def facts_of(connection: sqlite3.Connection, queue: str | None) -> Iterator[Fact]:
    """The current rows as facts, including deletions and failures.

    With a queue: its annotations and queue items, and the evaluations of the items that these name.
    """
    values = {} if queue is None else {"queue": queue}
    of_queue = "" if queue is None else "WHERE queue = :queue"
    of_items = "" if queue is None else _OF_ITEMS
    yield from _facts(connection, Annotation, f"annotations {of_queue}", values)
    yield from _facts(connection, Evaluation, f"evaluations {of_items}", values)
    yield from _facts(connection, QueueItem, f"queue_items {of_queue}", values)


def readable_facts(connection: sqlite3.Connection, on_gap: Callable[[str], None]) -> Iterator[Fact]:
    """The current rows of a file that may be damaged, as far as its pages can be read.

    `on_gap` is called with the name of the table for each place whose rows are left out.
    """
    yield from _readable(connection, Annotation, "annotations", on_gap)
    yield from _readable(connection, Evaluation, "evaluations", on_gap)
    yield from _readable(connection, QueueItem, "queue_items", on_gap)


def _readable(
    connection: sqlite3.Connection, kind: type[_F], table: str, on_gap: Callable[[str], None]
) -> Iterator[_F]:
    after, jump, in_gap, complete = 0, 1, False, False
    while not complete and after < _LAST_ID:
        try:
            for id, row in _rows(connection, kind, f"{table} WHERE id > :after ORDER BY id", {"after": after}):
                after, jump = id, 1
                try:
                    fact = _fact(kind, row)
                except ValueError:
                    on_gap(table)
                    continue
                in_gap = False
                yield fact
            complete = True
        except sqlite3.DatabaseError as error:
            if not is_damage(error) and "decode" not in str(error):
                raise
            if not in_gap:
                on_gap(table)
            # A page has a few dozen rows; a damaged inner page stands for many of them.
            after, jump, in_gap = after + jump, jump * 2, True


def _facts(connection: sqlite3.Connection, kind: type[_F], source: str, values: dict[str, str]) -> Iterator[_F]:
    for _, row in _rows(connection, kind, source, values):
        yield _fact(kind, row)


def _rows(
    connection: sqlite3.Connection, kind: type[Fact], source: str, values: Mapping[str, str | int]
) -> Iterator[tuple[int, SqlRow]]:
    """The id and the fields of each row."""
    columns = ", ".join("event" if name == "id" else name for name in kind.__struct_fields__)
    for id, *row in connection.execute(f"SELECT id, {columns} FROM {source}", values):
        yield id, tuple(row)


def _fact(kind: type[_F], row: SqlRow) -> _F:
    """Raises ValueError for a row that is no fact."""
    fields: dict[str, Any] = dict(zip(kind.__struct_fields__, row, strict=True))
    for name in _BOOLEANS & fields.keys():
        fields[name] = None if fields[name] is None else bool(fields[name])
    fields["tags"] = fields["tags"] and orjson.loads(fields["tags"])
    return msgspec.convert(fields, kind)
