"""The tables of the view's SQLite store, and the steps from one version of them to the next.

`PRAGMA user_version` is the number of migrations that were applied. A migration is never changed once
released; a change of the tables is a further one. A store written by a later release is refused, never
guessed at.
"""

# SQL is put together from constants of this file alone.
# ruff: noqa: S608

import sqlite3
from typing import Final

from aggregator.tallies import DAY_MS

_TABLES: Final = """
-- The state of each partition, moved forward only by one `marker`; NULL until the first one.
CREATE TABLE partitions (
    partition    INTEGER PRIMARY KEY,
    ledger       TEXT,
    position     INTEGER,
    policy       TEXT,
    at           INTEGER,
    sources      TEXT,
    facts_next   INTEGER NOT NULL,
    tallies_next INTEGER NOT NULL
);

-- Ledger rows that wait for a `marker` and do not fit into memory.
CREATE TABLE pending (
    partition INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    key       BLOB NOT NULL,
    value     BLOB NOT NULL,
    PRIMARY KEY (partition, position)
) WITHOUT ROWID;

-- Rows of annotations. counted: it stands and is compared; see sinks.store.merge.
CREATE TABLE annotations (
    id          INTEGER PRIMARY KEY,
    queue       TEXT NOT NULL,
    item        TEXT NOT NULL,
    criterion   TEXT NOT NULL,
    annotator   TEXT NOT NULL,
    version     BLOB NOT NULL,
    partition   INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    event       TEXT NOT NULL,
    level       TEXT NOT NULL,
    thumbs      TEXT,
    stars       INTEGER,
    deleted     INTEGER NOT NULL,
    counted     INTEGER NOT NULL DEFAULT 0,
    explanation TEXT,
    expected    TEXT,
    url         TEXT
);
CREATE UNIQUE INDEX annotations_identity ON annotations (queue, item, criterion, annotator);
CREATE INDEX annotations_newest ON annotations (queue, at, item, criterion, annotator) WHERE counted = 1;

-- Rows of evaluations; failure: an error or skip, a row beside the verdict's. current: the newest standing
-- verdict of (item, metric) over judges. shown: the failure that stands for a metric without a verdict.
CREATE TABLE evaluations (
    id        INTEGER PRIMARY KEY,
    item      TEXT NOT NULL,
    metric    TEXT NOT NULL,
    judge     TEXT NOT NULL,
    failure   INTEGER NOT NULL,
    version   BLOB NOT NULL,
    partition INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    event     TEXT NOT NULL,
    level     TEXT NOT NULL,
    score     REAL,
    threshold REAL,
    direction TEXT NOT NULL,
    passed    INTEGER,
    status    TEXT NOT NULL,
    deleted   INTEGER NOT NULL,
    current   INTEGER NOT NULL DEFAULT 0,
    shown     INTEGER NOT NULL DEFAULT 0,
    reason    TEXT,
    url       TEXT
);
CREATE UNIQUE INDEX evaluations_identity ON evaluations (item, metric, failure, judge);
CREATE INDEX evaluations_current ON evaluations (item, metric, passed) WHERE current = 1;
CREATE INDEX evaluations_shown ON evaluations (item) WHERE shown = 1;

-- Rows of queue items.
CREATE TABLE queue_items (
    id        INTEGER PRIMARY KEY,
    queue     TEXT NOT NULL,
    item      TEXT NOT NULL,
    version   BLOB NOT NULL,
    partition INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    event     TEXT NOT NULL,
    level     TEXT NOT NULL,
    deleted   INTEGER NOT NULL,
    url       TEXT
);
CREATE UNIQUE INDEX queue_items_identity ON queue_items (queue, item);

-- Items with a counted annotation, and the newest UTC day (days since epoch) of one: windows have no upper
-- bound, so this day decides whether the item is in a window.
CREATE TABLE rated (
    queue     TEXT NOT NULL,
    item      TEXT NOT NULL,
    criterion TEXT NOT NULL,
    day       INTEGER NOT NULL,
    PRIMARY KEY (queue, item, criterion)
) WITHOUT ROWID;

-- Tallies as published; names that a kind does not have are empty.
CREATE TABLE tallies (
    queue     TEXT NOT NULL,
    kind      TEXT NOT NULL,
    criterion TEXT NOT NULL,
    metric    TEXT NOT NULL,
    day       TEXT NOT NULL,
    partition INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    payload   BLOB NOT NULL,
    PRIMARY KEY (queue, kind, criterion, metric, day, partition)
) WITHOUT ROWID;

-- Queues in the order in which they were first seen, which a rebuild keeps, and the number of their changes.
CREATE TABLE queues (
    id       INTEGER PRIMARY KEY,
    queue    TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL
);

-- Snapshot documents as they were published.
CREATE TABLE snapshots (
    queue    TEXT NOT NULL,
    at       INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    digest   BLOB NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (queue, at)
) WITHOUT ROWID;
"""

_PEOPLE: Final = """
-- What people said of a criterion, item by item: statistics of rows read it and no row of the table.
CREATE INDEX annotations_people
    ON annotations (queue, criterion, item, annotator, at, thumbs, stars, counted, deleted);
"""


def _shape(key: str) -> str:
    """An item's shape in a queue, of a row `t` that has the queue and the item's `key`; NULL when the queue does not
    have the item. Migrations are made of this: another shape is another function.
    """
    return f"""
    CASE WHEN EXISTS (SELECT 1 FROM rated AS r WHERE r.queue = t.queue AND r.{key} = t.{key})
        OR EXISTS (SELECT 1 FROM queue_items AS q WHERE q.queue = t.queue AND q.{key} = t.{key} AND q.deleted = 0)
    THEN json_array(
        EXISTS (SELECT 1 FROM queue_items AS q WHERE q.queue = t.queue AND q.{key} = t.{key} AND q.deleted = 0),
        json((SELECT json_group_array(json_array(r.criterion, r.day))
            FROM rated AS r WHERE r.queue = t.queue AND r.{key} = t.{key})),
        json((SELECT json_group_array(DISTINCT e.metric)
            FROM evaluations AS e WHERE e.{key} = t.{key} AND e.current = 1)),
        EXISTS (SELECT 1 FROM evaluations AS e WHERE e.{key} = t.{key} AND e.shown = 1))
    END
"""


SHAPE: Final = _shape("number")
"""The shape of an item by its number."""

_SHAPES: Final = f"""
-- Counted annotations by UTC day, as a JSON array of [day since epoch, annotations], beside the newest day.
DROP TABLE rated;
CREATE TABLE rated (
    queue     TEXT NOT NULL,
    item      TEXT NOT NULL,
    criterion TEXT NOT NULL,
    day       INTEGER NOT NULL,
    days      TEXT NOT NULL,
    PRIMARY KEY (queue, item, criterion)
) WITHOUT ROWID;
INSERT INTO rated
SELECT queue, item, criterion, max(day), json_group_array(json_array(day, annotations)) FROM (
    SELECT queue, item, criterion, at / {DAY_MS} AS day, count(*) AS annotations
    FROM annotations WHERE counted = 1 GROUP BY queue, item, criterion, day)
GROUP BY queue, item, criterion;

-- How many items of a queue are alike in all that distinct items are counted by, as a JSON array: whether a standing
-- queue item places it, [criterion, newest day] of every rated criterion, the metrics with a current verdict, and
-- whether a failure is shown. Counting a queue's items takes as long as they are different, not as they are many.
CREATE TABLE shapes (
    id    INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    shape TEXT NOT NULL,
    items INTEGER NOT NULL,
    UNIQUE (queue, shape)
);
CREATE TABLE shaped (
    item  TEXT NOT NULL,
    queue TEXT NOT NULL,
    shape INTEGER NOT NULL,
    PRIMARY KEY (item, queue)
) WITHOUT ROWID;
CREATE TEMP TABLE found AS
SELECT t.queue, t.item, {_shape("item")} AS shape
FROM (SELECT queue, item FROM rated UNION SELECT queue, item FROM queue_items WHERE deleted = 0) AS t;
INSERT INTO shapes (queue, shape, items) SELECT queue, shape, count(*) FROM found GROUP BY queue, shape;
INSERT INTO shaped
SELECT t.item, t.queue, s.id FROM found AS t JOIN shapes AS s ON s.queue = t.queue AND s.shape = t.shape;
DROP TABLE found;
"""

_NUMBERS: Final = """
-- Items have numbers, in the order in which they came, and what is looked up by item is looked up by number: what is
-- said at one time lies together in the indexes then, however random the ids of items are, so a transaction changes
-- few pages. A number stays when the last row of its item goes.
CREATE TABLE items (
    number INTEGER PRIMARY KEY,
    item   TEXT NOT NULL UNIQUE
);
INSERT INTO items (item)
SELECT item FROM (
    SELECT item, at FROM annotations
    UNION ALL SELECT item, at FROM evaluations
    UNION ALL SELECT item, at FROM queue_items)
GROUP BY item ORDER BY min(at);

DROP INDEX annotations_identity;
DROP INDEX annotations_people;
ALTER TABLE annotations ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE annotations AS a SET number = (SELECT i.number FROM items AS i WHERE i.item = a.item);
CREATE UNIQUE INDEX annotations_identity ON annotations (queue, number, criterion, annotator);
CREATE INDEX annotations_people
    ON annotations (queue, criterion, number, annotator, at, thumbs, stars, counted, deleted);

DROP INDEX evaluations_identity;
DROP INDEX evaluations_current;
DROP INDEX evaluations_shown;
ALTER TABLE evaluations ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE evaluations AS e SET number = (SELECT i.number FROM items AS i WHERE i.item = e.item);
CREATE UNIQUE INDEX evaluations_identity ON evaluations (number, metric, failure, judge);
CREATE INDEX evaluations_current ON evaluations (number, metric, passed) WHERE current = 1;
CREATE INDEX evaluations_shown ON evaluations (number) WHERE shown = 1;

DROP INDEX queue_items_identity;
ALTER TABLE queue_items ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE queue_items AS q SET number = (SELECT i.number FROM items AS i WHERE i.item = q.item);
CREATE UNIQUE INDEX queue_items_identity ON queue_items (queue, number);

CREATE TABLE rated_by_number (
    queue     TEXT NOT NULL,
    number    INTEGER NOT NULL,
    criterion TEXT NOT NULL,
    day       INTEGER NOT NULL,
    days      TEXT NOT NULL,
    PRIMARY KEY (queue, number, criterion)
) WITHOUT ROWID;
INSERT INTO rated_by_number
SELECT r.queue, i.number, r.criterion, r.day, r.days FROM rated AS r CROSS JOIN items AS i ON i.item = r.item;
DROP TABLE rated;
ALTER TABLE rated_by_number RENAME TO rated;

CREATE TABLE shaped_by_number (
    number INTEGER NOT NULL,
    queue  TEXT NOT NULL,
    shape  INTEGER NOT NULL,
    PRIMARY KEY (number, queue)
) WITHOUT ROWID;
INSERT INTO shaped_by_number
SELECT i.number, s.queue, s.shape FROM shaped AS s CROSS JOIN items AS i ON i.item = s.item;
DROP TABLE shaped;
ALTER TABLE shaped_by_number RENAME TO shaped;
"""

MIGRATIONS: Final = (_TABLES, _PEOPLE, _SHAPES, _NUMBERS)


class StoreError(Exception):
    """The store cannot be used as it is; the message says what to do."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to this release's version, each step in its own transaction.

    Raises StoreError when the store was written by a later release.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > len(MIGRATIONS):
        raise StoreError(
            f"the store has version {found}, this release knows {len(MIGRATIONS)}: run the release that wrote "
            "it, or move the store away and let the view rebuild it from the topics"
        )
    for number, script in enumerate(MIGRATIONS[found:], start=found + 1):
        connection.executescript(f"BEGIN IMMEDIATE;{script}PRAGMA user_version = {number};COMMIT;")
