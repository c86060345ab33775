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

-- Rows of evaluations; failure: an error or skip, in addition to the verdict's row. current: the newest standing
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
