-- The rows that a record states now.
CREATE TABLE IF NOT EXISTS rows (
    source TEXT NOT NULL,
    native BLOB NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    part TEXT NOT NULL,
    PRIMARY KEY (source, native, key)
) WITHOUT ROWID;
