-- The records that have a row of an identity now, with the rank of the row (`OwnedRow.rank`).
CREATE TABLE IF NOT EXISTS holders (
    source TEXT NOT NULL,
    identity BLOB NOT NULL,
    rank TEXT NOT NULL,
    native BLOB NOT NULL,
    PRIMARY KEY (source, identity, rank, native)
) WITHOUT ROWID;
