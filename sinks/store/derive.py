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
- `judge_periods`: the first and the last time of the standing verdicts of a judge version;
- `item_profiles`: the number of items of a queue with the same profile (see `sinks.store.schema.PROFILE`).
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from typing import Final

from aggregator.days import DAY_MS
from aggregator.policy import Policy
from sinks.queries.scope import RANK, RATING
from sinks.store import search_index
from sinks.store.schema import JUDGED, PROFILE

TEMPORARY: Final = """
CREATE TEMP TABLE touched_criteria (
    queue TEXT, item_id INTEGER, criterion TEXT, PRIMARY KEY (queue, item_id, criterion)
) WITHOUT ROWID;
CREATE TEMP TABLE touched_metrics (item_id INTEGER, metric TEXT, PRIMARY KEY (item_id, metric)) WITHOUT ROWID;
CREATE TEMP TABLE touched_judges (metric TEXT, judge TEXT, PRIMARY KEY (metric, judge)) WITHOUT ROWID;
CREATE TEMP TABLE touched_items (queue TEXT, item_id INTEGER, PRIMARY KEY (queue, item_id)) WITHOUT ROWID;
CREATE TEMP TABLE judged_items (item_id INTEGER PRIMARY KEY, verdicts TEXT, failures TEXT);
CREATE TEMP TABLE changed_profiles (queue TEXT, item_id INTEGER, profile TEXT, old INTEGER);
"""
"""Temporary tables of the writing connection: what one transaction may have changed, and what it derives on the way."""
_TABLES: Final = (
    "touched_criteria",
    "touched_metrics",
    "touched_judges",
    "touched_items",
    "judged_items",
    "changed_profiles",
)

# A cross join fixes the order: SQLite does not know the size of a temporary table, and would scan all annotations. The
# index covers all columns that are read here.
_TOUCHED_ANNOTATIONS: Final = """
    touched_criteria AS t CROSS JOIN annotations AS a INDEXED BY annotations_people
        ON a.queue = t.queue AND a.item_id = t.item_id AND a.criterion = t.criterion
"""
_IN_QUEUE: Final = """
a.deleted = 0
AND NOT EXISTS (SELECT 1 FROM queue_items AS q WHERE q.queue = t.queue AND q.item_id = t.item_id AND q.deleted = 1)
"""

# An item may have any number of rows, so each statement sorts or scans a touched group once: a lookup of the newest row
# for each row of the group would cost the square of them for every event.
#
# Most rows are right as they were inserted, and a row that is not written again costs no page: only rows that differ
# are updated. With the policy `each` in all partitions the index shows which ones differ.
_COUNT_EACH: Final = f"""
UPDATE annotations SET counted = NOT counted
WHERE id IN (SELECT a.id FROM {_TOUCHED_ANNOTATIONS} WHERE a.counted <> ({_IN_QUEUE}))
"""
_COUNT_NEWEST: Final = f"""
UPDATE annotations SET counted = NOT counted
WHERE id IN (
    SELECT m.id FROM (
        SELECT a.id AS id, a.partition AS partition, a.counted AS counted, {_IN_QUEUE} AS stands, row_number() OVER (
            PARTITION BY t.queue, t.item_id, t.criterion ORDER BY a.deleted, a.version DESC, a.annotator DESC) AS place
        FROM {_TOUCHED_ANNOTATIONS}) AS m
    WHERE m.counted <> (m.stands AND (
        m.place = 1 OR (SELECT p.policy FROM partitions AS p WHERE p.partition = m.partition) = 'each')))
"""
_CURRENT: Final = """
UPDATE evaluations SET current = new.current, shown = new.shown
FROM (
    SELECT id, current, shown FROM (
        SELECT m.id AS id, m.current AS was_current, m.shown AS was_shown,
            m.stands AND m.version IS max(m.version) FILTER (WHERE m.stands) OVER of_metric AS current,
            m.fails AND max(m.version) FILTER (WHERE m.stands) OVER of_metric IS NULL
                AND m.version IS max(m.version) FILTER (WHERE m.fails) OVER of_metric AS shown
        FROM (
            SELECT e.id, e.version, t.item_id, t.metric, e.current, e.shown,
                e.failure = 0 AND e.deleted = 0 AS stands,
                e.failure = 1 AND NOT EXISTS (
                    SELECT 1 FROM evaluations AS f
                    WHERE f.item_id = t.item_id AND f.metric = t.metric AND f.failure = 0 AND f.judge = e.judge
                        AND f.version > e.version) AS fails
            FROM touched_metrics AS t CROSS JOIN evaluations AS e INDEXED BY evaluations_identity
                ON e.item_id = t.item_id AND e.metric = t.metric) AS m
        WINDOW of_metric AS (PARTITION BY m.item_id, m.metric))
    WHERE was_current <> current OR was_shown <> shown) AS new
WHERE evaluations.id = new.id
"""

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

_VERDICTS: Final = """
    FROM evaluations AS e INDEXED BY evaluations_judges
    WHERE e.failure = 0 AND e.deleted = 0 AND e.metric = t.metric AND e.judge = t.judge
"""
_PERIODS: Final = (
    f"""
    DELETE FROM judge_periods WHERE (metric, judge) IN (
        SELECT t.metric, t.judge FROM touched_judges AS t WHERE NOT EXISTS (SELECT 1 {_VERDICTS}))
    """,
    f"""
    INSERT INTO judge_periods
    SELECT metric, judge, first_at, last_at FROM (
        SELECT t.metric AS metric, t.judge AS judge, (SELECT e.at {_VERDICTS} ORDER BY e.at LIMIT 1) AS first_at,
            (SELECT e.at {_VERDICTS} ORDER BY e.at DESC LIMIT 1) AS last_at
        FROM touched_judges AS t)
    WHERE first_at IS NOT NULL
    ON CONFLICT (metric, judge) DO UPDATE SET first_at = excluded.first_at, last_at = excluded.last_at
        WHERE judge_periods.first_at <> excluded.first_at OR judge_periods.last_at <> excluded.last_at
    """,
)

_PROFILES: Final = (
    """
    INSERT OR IGNORE INTO touched_items
    SELECT queue, item_id FROM touched_criteria
    UNION SELECT p.queue, p.item_id FROM touched_metrics AS t CROSS JOIN profile_items AS p ON p.item_id = t.item_id
    """,
    # An item may be in any number of queues.
    f"""
    INSERT INTO judged_items SELECT t.item_id, {JUDGED} FROM (SELECT DISTINCT item_id FROM touched_items) AS t
    """,
    f"""
    INSERT INTO changed_profiles
    SELECT t.queue, t.item_id, {PROFILE},
        (SELECT p.profile_id FROM profile_items AS p WHERE p.item_id = t.item_id AND p.queue = t.queue)
    FROM touched_items AS t CROSS JOIN judged_items AS j ON j.item_id = t.item_id
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

DERIVE: Final = (_COUNT_EACH, _COUNT_NEWEST, _CURRENT, *_MEDIANS, *_DAYS, *_PERIODS, *_PROFILES)
"""Statements that derive everything that the temporary tables name, in this order.

A transaction leaves out those that its policies do not need.
"""


def derive(connection: sqlite3.Connection) -> None:
    """Derive everything that the merges of this transaction may have changed.

    The policies of the partitions must be set before. With the policy `each` in all of them nothing depends on which
    annotation is the newest.
    """
    policies = {policy for (policy,) in connection.execute("SELECT policy FROM partitions")}
    spared = {_COUNT_NEWEST if policies <= {Policy.EACH} else _COUNT_EACH}
    if Policy.MAJORITY not in policies:
        spared.update(_MEDIANS)
    for statement in DERIVE:
        if statement not in spared:
            connection.execute(statement)
    connection.execute(search_index.NOTE)
    for table in _TABLES:
        connection.execute(f"DELETE FROM {table}")
