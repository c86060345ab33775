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
-- The state of each partition, moved forward only by one `closed`; NULL until the first one.
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

-- Ledger rows that wait for a `closed` and do not fit into memory.
CREATE TABLE pending (
    partition INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    key       BLOB NOT NULL,
    value     BLOB NOT NULL,
    PRIMARY KEY (partition, position)
) WITHOUT ROWID;

-- Rows of annotations. counted: it stands and is compared; see sinks.merge.
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

SHAPE: Final = """
    CASE WHEN EXISTS (SELECT 1 FROM rated AS r WHERE r.queue = t.queue AND r.item = t.item)
        OR EXISTS (SELECT 1 FROM queue_items AS q WHERE q.queue = t.queue AND q.item = t.item AND q.deleted = 0)
    THEN json_array(
        EXISTS (SELECT 1 FROM queue_items AS q WHERE q.queue = t.queue AND q.item = t.item AND q.deleted = 0),
        json((SELECT json_group_array(json_array(r.criterion, r.day))
            FROM rated AS r WHERE r.queue = t.queue AND r.item = t.item)),
        json((SELECT json_group_array(DISTINCT e.metric)
            FROM evaluations AS e WHERE e.item = t.item AND e.current = 1)),
        EXISTS (SELECT 1 FROM evaluations AS e WHERE e.item = t.item AND e.shown = 1))
    END
"""
"""An item's shape in a queue, of a row `t` that names both; NULL when the queue does not have it. A migration
is made of this: another shape is another constant.
"""

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
SELECT t.queue, t.item, {SHAPE} AS shape
FROM (SELECT queue, item FROM rated UNION SELECT queue, item FROM queue_items WHERE deleted = 0) AS t;
INSERT INTO shapes (queue, shape, items) SELECT queue, shape, count(*) FROM found GROUP BY queue, shape;
INSERT INTO shaped
SELECT t.item, t.queue, s.id FROM found AS t JOIN shapes AS s ON s.queue = t.queue AND s.shape = t.shape;
DROP TABLE found;
"""

MIGRATIONS: Final = (_TABLES, _PEOPLE, _SHAPES)


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
