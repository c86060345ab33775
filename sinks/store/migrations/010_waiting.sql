-- What the worker of a partition reports of waiting evaluations, as JSON; NULL when it reports nothing.
ALTER TABLE partitions ADD COLUMN waiting TEXT;

-- Judge versions of waiting verdicts, from the same report.
CREATE TABLE waiting_judges (
    metric    TEXT NOT NULL,
    judge     TEXT NOT NULL,
    partition INTEGER NOT NULL,
    first_at  INTEGER NOT NULL,
    last_at   INTEGER NOT NULL,
    verdicts  INTEGER NOT NULL,
    PRIMARY KEY (metric, judge, partition)
) WITHOUT ROWID;
