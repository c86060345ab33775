-- What the application received and answered, and tags as a JSON object.
ALTER TABLE annotations ADD COLUMN input TEXT;
ALTER TABLE annotations ADD COLUMN output TEXT;
ALTER TABLE annotations ADD COLUMN tags TEXT;
ALTER TABLE evaluations ADD COLUMN input TEXT;
ALTER TABLE evaluations ADD COLUMN output TEXT;
ALTER TABLE evaluations ADD COLUMN tags TEXT;
ALTER TABLE queue_items ADD COLUMN input TEXT;
ALTER TABLE queue_items ADD COLUMN output TEXT;
ALTER TABLE queue_items ADD COLUMN tags TEXT;

-- Workers are upgraded first, so an earlier release may have read rows without these fields. No ledger has this id, and
-- no log this length: the view reads every partition from the beginning, and then replaces its rows.
UPDATE partitions SET ledger = '', facts_next = 9223372036854775807 WHERE ledger IS NOT NULL;
