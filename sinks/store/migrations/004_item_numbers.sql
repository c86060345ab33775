-- Items have numbers, in the order in which they came, and what is looked up by item is looked up by number: what is
-- said at one time lies together in the indexes then, however random the ids of items are, so a transaction changes
-- few pages. A number stays when the last row of its item goes.
CREATE TABLE items (
    number INTEGER PRIMARY KEY,
    item   TEXT NOT NULL UNIQUE
);
INSERT INTO items (item)
SELECT item FROM (
    SELECT item, at FROM annotations
    UNION ALL SELECT item, at FROM evaluations
    UNION ALL SELECT item, at FROM queue_items)
GROUP BY item ORDER BY min(at);

DROP INDEX annotations_identity;
DROP INDEX annotations_people;
ALTER TABLE annotations ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE annotations AS a SET number = (SELECT i.number FROM items AS i WHERE i.item = a.item);
CREATE UNIQUE INDEX annotations_identity ON annotations (queue, number, criterion, annotator);
CREATE INDEX annotations_people
    ON annotations (queue, criterion, number, annotator, at, thumbs, stars, counted, deleted);

DROP INDEX evaluations_identity;
DROP INDEX evaluations_current;
DROP INDEX evaluations_shown;
ALTER TABLE evaluations ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE evaluations AS e SET number = (SELECT i.number FROM items AS i WHERE i.item = e.item);
CREATE UNIQUE INDEX evaluations_identity ON evaluations (number, metric, failure, judge);
CREATE INDEX evaluations_current ON evaluations (number, metric, passed) WHERE current = 1;
CREATE INDEX evaluations_shown ON evaluations (number) WHERE shown = 1;

DROP INDEX queue_items_identity;
ALTER TABLE queue_items ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE queue_items AS q SET number = (SELECT i.number FROM items AS i WHERE i.item = q.item);
CREATE UNIQUE INDEX queue_items_identity ON queue_items (queue, number);

CREATE TABLE rated_by_number (
    queue     TEXT NOT NULL,
    number    INTEGER NOT NULL,
    criterion TEXT NOT NULL,
    day       INTEGER NOT NULL,
    days      TEXT NOT NULL,
    PRIMARY KEY (queue, number, criterion)
) WITHOUT ROWID;
INSERT INTO rated_by_number
SELECT r.queue, i.number, r.criterion, r.day, r.days FROM rated AS r CROSS JOIN items AS i ON i.item = r.item;
DROP TABLE rated;
ALTER TABLE rated_by_number RENAME TO rated;

CREATE TABLE shaped_by_number (
    number INTEGER NOT NULL,
    queue  TEXT NOT NULL,
    shape  INTEGER NOT NULL,
    PRIMARY KEY (number, queue)
) WITHOUT ROWID;
INSERT INTO shaped_by_number
SELECT i.number, s.queue, s.shape FROM shaped AS s CROSS JOIN items AS i ON i.item = s.item;
DROP TABLE shaped;
ALTER TABLE shaped_by_number RENAME TO shaped;
