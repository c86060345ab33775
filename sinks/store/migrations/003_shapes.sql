-- Counted annotations by UTC day, as a JSON array of [day since epoch, annotations], with the newest day.
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
    SELECT queue, item, criterion, at / 86400000 AS day, count(*) AS annotations
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
SELECT t.queue, t.item, 
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
 AS shape
FROM (SELECT queue, item FROM rated UNION SELECT queue, item FROM queue_items WHERE deleted = 0) AS t;
INSERT INTO shapes (queue, shape, items) SELECT queue, shape, count(*) FROM found GROUP BY queue, shape;
INSERT INTO shaped
SELECT t.item, t.queue, s.id FROM found AS t JOIN shapes AS s ON s.queue = t.queue AND s.shape = t.shape;
DROP TABLE found;
