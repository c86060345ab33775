"""Derives columns and tables of the store from its rows, in the transaction that merges them (`sinks.store.merge`).

Derived, for everything that a merge may have changed:

- `annotations.counted`: the annotation is not deleted, its item is not removed from the queue, and it is compared:
  always under the policy `each`, the newest of its item, queue and criterion under `latest` and `majority`;
- `annotations.median`: under `majority`, of a counted annotation, the rating that is compared in place of its own, an
  index in `ratings.LEVELS`; else NULL;
- `evaluations.current`: the newest verdict of (item, metric) over all judges that is not deleted;
- `evaluations.shown`: the newest failure where there is no such verdict, unless the same judge's deletion is newer;
- `item_days`: items with a counted annotation, annotations by day, and the newest day;
- `search_pending`: items by whose texts nobody can find them yet (`sinks.store.search_index`);
- `item_profiles`: the number of items of a queue with the same profile (see `sinks.store.schema.PROFILE`).
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from typing import Final

from aggregator.days import DAY_MS
from sinks.queries.scope import RANK, RATING
from sinks.store import search_index
from sinks.store.schema import PROFILE

TEMPORARY: Final = """
CREATE TEMP TABLE touched_criteria (
    queue TEXT, item_id INTEGER, criterion TEXT, PRIMARY KEY (queue, item_id, criterion)
) WITHOUT ROWID;
CREATE TEMP TABLE touched_metrics (item_id INTEGER, metric TEXT, PRIMARY KEY (item_id, metric)) WITHOUT ROWID;
CREATE TEMP TABLE touched_items (queue TEXT, item_id INTEGER, PRIMARY KEY (queue, item_id)) WITHOUT ROWID;
CREATE TEMP TABLE changed_profiles (queue TEXT, item_id INTEGER, profile TEXT, old INTEGER);
"""
"""Temporary tables of the writing connection: what the merges of one transaction may have changed."""

# A cross join fixes the order: SQLite does not know the size of a temporary table, and would scan all annotations. The
# index covers all columns that are read here.
_TOUCHED_ANNOTATIONS: Final = """
    touched_criteria AS t CROSS JOIN annotations AS a INDEXED BY annotations_people
        ON a.queue = t.queue AND a.item_id = t.item_id AND a.criterion = t.criterion
"""
_TOUCHED_EVALUATIONS: Final = """
    SELECT f.id FROM touched_metrics AS t CROSS JOIN evaluations AS f ON f.item_id = t.item_id AND f.metric = t.metric
"""

# Most rows are right as they were inserted, and a row that is not written again costs no page: only rows that differ
# are updated. With the policy `each` in all partitions the index shows which ones differ.
_FLAGS: Final = (
    f"""
    UPDATE annotations AS c SET counted = NOT counted
    WHERE c.id IN (
        SELECT a.id FROM {_TOUCHED_ANNOTATIONS}
        WHERE EXISTS (SELECT 1 FROM partitions AS p WHERE p.policy IS NOT 'each') OR a.counted <> (
            a.deleted = 0
            AND NOT EXISTS (
                SELECT 1 FROM queue_items AS q WHERE q.queue = a.queue AND q.item_id = a.item_id AND q.deleted = 1))
    ) AND c.counted <> (
        c.deleted = 0
        AND NOT EXISTS (
            SELECT 1 FROM queue_items AS q WHERE q.queue = c.queue AND q.item_id = c.item_id AND q.deleted = 1)
        AND (
            (SELECT p.policy FROM partitions AS p WHERE p.partition = c.partition) = 'each'
            OR c.id IS (
                SELECT b.id FROM annotations AS b
                WHERE b.queue = c.queue AND b.item_id = c.item_id AND b.criterion = c.criterion AND b.deleted = 0
                ORDER BY b.version DESC, b.annotator DESC LIMIT 1)))
    """,
    f"""
    UPDATE evaluations AS e SET current = NOT current
    WHERE e.id IN ({_TOUCHED_EVALUATIONS}) AND e.current <> (
        e.failure = 0 AND e.deleted = 0
        AND e.version IS (
            SELECT max(f.version) FROM evaluations AS f
            WHERE f.item_id = e.item_id AND f.metric = e.metric AND f.failure = 0 AND f.deleted = 0))
    """,
    f"""
    UPDATE evaluations AS e SET shown = NOT shown
    WHERE e.id IN ({_TOUCHED_EVALUATIONS}) AND (e.shown = 1 OR e.failure = 1) AND e.shown <> (
        e.failure = 1
        AND NOT EXISTS (
            SELECT 1 FROM evaluations AS f
            WHERE f.item_id = e.item_id AND f.metric = e.metric AND f.failure = 0 AND f.deleted = 0)
        AND e.version IS (
            SELECT max(f.version) FROM evaluations AS f
            WHERE f.item_id = e.item_id AND f.metric = e.metric AND f.failure = 1
                AND NOT EXISTS (
                    SELECT 1 FROM evaluations AS d
                    WHERE d.item_id = f.item_id AND d.metric = f.metric AND d.failure = 0 AND d.judge = f.judge
                        AND d.version > f.version)))
    """,
)

_MEDIANS: Final = (
    f"""
    UPDATE annotations AS c SET median = NULL
    WHERE c.id IN (SELECT a.id FROM {_TOUCHED_ANNOTATIONS} WHERE a.counted = 0 AND a.median IS NOT NULL)
    """,
    f"""
    UPDATE annotations AS c SET median = m.rating
    FROM (
        SELECT a.queue AS queue, a.item_id AS item_id, a.criterion AS criterion, {RATING} AS rating,
            row_number() OVER (PARTITION BY a.queue, a.item_id, a.criterion ORDER BY {RANK}) AS place,
            count(*) OVER (PARTITION BY a.queue, a.item_id, a.criterion) AS ratings
        FROM {_TOUCHED_ANNOTATIONS} WHERE a.deleted = 0) AS m
    WHERE m.place = (m.ratings + 1) / 2
        AND c.queue = m.queue AND c.item_id = m.item_id AND c.criterion = m.criterion AND c.counted = 1
        AND c.median IS NOT m.rating
        AND (SELECT p.policy FROM partitions AS p WHERE p.partition = c.partition) = 'majority'
    """,
)

_DAYS: Final = (
    """
    DELETE FROM item_days WHERE (queue, item_id, criterion) IN (
        SELECT t.queue, t.item_id, t.criterion FROM touched_criteria AS t WHERE NOT EXISTS (
            SELECT 1 FROM annotations AS a
            WHERE a.queue = t.queue AND a.item_id = t.item_id AND a.criterion = t.criterion AND a.counted = 1))
    """,
    f"""
    INSERT INTO item_days (queue, item_id, criterion, day, days)
    SELECT queue, item_id, criterion, max(day), json_group_array(json_array(day, annotations)) FROM (
        SELECT a.queue, a.item_id, a.criterion, a.at / {DAY_MS} AS day, count(*) AS annotations
        FROM {_TOUCHED_ANNOTATIONS} WHERE a.counted = 1 GROUP BY a.queue, a.item_id, a.criterion, day)
    WHERE true GROUP BY queue, item_id, criterion
    ON CONFLICT (queue, item_id, criterion) DO UPDATE SET day = excluded.day, days = excluded.days
        WHERE days <> excluded.days
    """,
)

_PROFILES: Final = (
    """
    INSERT OR IGNORE INTO touched_items
    SELECT queue, item_id FROM touched_criteria
    UNION SELECT p.queue, p.item_id FROM touched_metrics AS t CROSS JOIN profile_items AS p ON p.item_id = t.item_id
    """,
    f"""
    INSERT INTO changed_profiles
    SELECT t.queue, t.item_id, {PROFILE},
        (SELECT p.profile_id FROM profile_items AS p WHERE p.item_id = t.item_id AND p.queue = t.queue)
    FROM touched_items AS t
    """,
    """
    UPDATE item_profiles AS p SET items = p.items - gone.items
    FROM (SELECT old, count(*) AS items FROM changed_profiles WHERE old IS NOT NULL GROUP BY old) AS gone
    WHERE p.id = gone.old
    """,
    """
    INSERT INTO item_profiles (queue, profile, items)
    SELECT queue, profile, count(*) FROM changed_profiles WHERE profile IS NOT NULL GROUP BY queue, profile
    ON CONFLICT (queue, profile) DO UPDATE SET items = items + excluded.items
    """,
    """
    DELETE FROM profile_items
    WHERE (item_id, queue) IN (SELECT item_id, queue FROM changed_profiles WHERE profile IS NULL)
    """,
    """
    INSERT OR REPLACE INTO profile_items (item_id, queue, profile_id)
    SELECT t.item_id, t.queue, p.id FROM changed_profiles AS t
    CROSS JOIN item_profiles AS p ON p.queue = t.queue AND p.profile = t.profile
    WHERE p.id IS NOT t.old
    """,
    "DELETE FROM item_profiles WHERE items = 0 AND id IN (SELECT old FROM changed_profiles)",
)

DERIVE: Final = (*_FLAGS, *_MEDIANS, *_DAYS, *_PROFILES)
"""Statements that derive everything that the temporary tables name, in this order."""


def derive(connection: sqlite3.Connection) -> None:
    """Derive everything that the merges of this transaction may have changed.

    The policies of the partitions must be set before.
    """
    (medians,) = connection.execute("SELECT EXISTS (SELECT 1 FROM partitions WHERE policy = 'majority')").fetchone()
    for statement in DERIVE:
        if medians or statement not in _MEDIANS:
            connection.execute(statement)
    connection.execute(search_index.NOTE)
    for table in ("touched_criteria", "touched_metrics", "touched_items", "changed_profiles"):
        connection.execute(f"DELETE FROM {table}")
