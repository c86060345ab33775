-- Under the policy `majority`, the rating that a counted annotation is compared with in place of its own: an index in
-- ratings.LEVELS. Statistics of rows read it from the index, as they read the other ratings.
ALTER TABLE annotations ADD COLUMN median INTEGER;
DROP INDEX IF EXISTS annotations_people;
CREATE INDEX annotations_people
    ON annotations (queue, criterion, item_id, annotator, at, thumbs, stars, counted, deleted, median);
