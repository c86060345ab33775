-- What people said of a criterion, item by item: statistics of rows read it and no row of the table.
CREATE INDEX annotations_people
    ON annotations (queue, criterion, item, annotator, at, thumbs, stars, counted, deleted);
