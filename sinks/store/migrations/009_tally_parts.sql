-- The judges of a cells tally may stand in several records of the topic, each a row with the number of its part.
ALTER TABLE tallies RENAME TO former_tallies;
CREATE TABLE tallies (
    queue     TEXT NOT NULL,
    kind      TEXT NOT NULL,
    criterion TEXT NOT NULL,
    metric    TEXT NOT NULL,
    day       TEXT NOT NULL,
    part      INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    payload   BLOB NOT NULL,
    PRIMARY KEY (queue, kind, criterion, metric, day, part, partition)
) WITHOUT ROWID;
INSERT INTO tallies SELECT queue, kind, criterion, metric, day, 0, partition, position, payload FROM former_tallies;
DROP TABLE former_tallies;
