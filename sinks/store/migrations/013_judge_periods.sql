-- When each judge version of a metric gave its first and last standing verdict, over all items: that of
-- evaluations_judges, so that the version in use is found however many versions there are.
CREATE TABLE judge_periods (
    metric   TEXT NOT NULL,
    judge    TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (metric, judge)
) WITHOUT ROWID;
CREATE INDEX judge_periods_first ON judge_periods (metric, first_at, judge, last_at);
CREATE INDEX judge_periods_last ON judge_periods (metric, last_at, judge, first_at);
INSERT INTO judge_periods
SELECT metric, judge, min(at), max(at) FROM evaluations WHERE failure = 0 AND deleted = 0 GROUP BY metric, judge;
