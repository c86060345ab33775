-- Executed at every start: a table that another release adds must not need another version.
-- What records of tools stated last, one index a source. A source is the prefix of its events' ids.
CREATE TABLE IF NOT EXISTS records (
    source TEXT NOT NULL,
    native BLOB NOT NULL,
    stream TEXT NOT NULL,
    listed INTEGER,
    owned BLOB NOT NULL,
    PRIMARY KEY (source, native)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_by_stream ON records (source, stream, listed);

-- The latest deletion of an identity, in milliseconds.
CREATE TABLE IF NOT EXISTS deletions (
    source TEXT NOT NULL,
    identity BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (source, identity)
) WITHOUT ROWID;

-- How many results of each kind a source has had.
CREATE TABLE IF NOT EXISTS totals (
    source TEXT NOT NULL,
    result TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (source, result)
) WITHOUT ROWID;

-- The records that the earlier pulls of a reading have seen, until a later pull reads it to its end.
CREATE TABLE IF NOT EXISTS seen (
    source TEXT NOT NULL,
    stream TEXT NOT NULL,
    native BLOB NOT NULL,
    PRIMARY KEY (source, stream, native)
) WITHOUT ROWID;

-- Cursors and times of a source, as JSON.
CREATE TABLE IF NOT EXISTS states (
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (source, name)
) WITHOUT ROWID;

-- What a source sends, until the broker has acknowledged it and the index remembers it.
CREATE TABLE IF NOT EXISTS outbox (
    source TEXT PRIMARY KEY,
    batch BLOB NOT NULL
) WITHOUT ROWID;

-- Names of a tool without a rule, with a few of their values, and when they were seen last in milliseconds.
CREATE TABLE IF NOT EXISTS names (
    source TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    count INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (source, role, name, value)
) WITHOUT ROWID;
