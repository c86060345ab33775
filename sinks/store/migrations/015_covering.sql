-- Removed items: few, and every statistic of people leaves them out.
CREATE INDEX queue_items_removed ON queue_items (queue, item_id) WHERE deleted = 1;

-- Current verdicts with everything that statistics of scores, versions and thresholds read, so that they read no row of
-- the table: its rows have long texts.
DROP INDEX evaluations_current;
CREATE INDEX evaluations_current ON evaluations (item_id, metric, passed, judge, score, threshold, direction, at)
    WHERE current = 1;

-- Compared annotations in order of time, with what lists of items choose and sort by.
DROP INDEX annotations_newest;
CREATE INDEX annotations_newest
    ON annotations (queue, at, item, criterion, annotator, item_id, thumbs, stars, median) WHERE counted = 1;

-- Tags of the rows that have any: most have none, and rows are wide.
CREATE INDEX annotations_tags ON annotations (id, tags) WHERE tags IS NOT NULL;
CREATE INDEX evaluations_tags ON evaluations (id, tags) WHERE tags IS NOT NULL;
CREATE INDEX queue_items_tags ON queue_items (id, tags) WHERE tags IS NOT NULL;

-- Thresholds and sizes of the scores that the verdicts of a judge version ever had: most versions have one threshold and
-- one scale, and nobody need read their rows to say so. sizes: 1 for scores between 0 and 1, 2 up to 10, 4 from 10 on.
CREATE TABLE judge_scales (
    metric  TEXT NOT NULL,
    judge   TEXT NOT NULL,
    lowest  REAL,
    highest REAL,
    sizes   INTEGER NOT NULL,
    PRIMARY KEY (metric, judge)
) WITHOUT ROWID;
INSERT INTO judge_scales
SELECT metric, judge, min(threshold), max(threshold),
    max(abs(score) > 0 AND abs(score) < 1) + 2 * max(abs(score) > 1 AND abs(score) < 10) + 4 * max(abs(score) >= 10)
FROM evaluations WHERE score IS NOT NULL AND failure = 0 AND deleted = 0 GROUP BY metric, judge;
