-- Standing verdicts that a newer judge version's replaced: two versions of a metric can be compared on the items that
-- have one, and few items do.
CREATE INDEX evaluations_superseded ON evaluations (item_id, metric) WHERE failure = 0 AND deleted = 0 AND current = 0;
