-- Renames only: no row is rewritten.
ALTER TABLE items RENAME COLUMN number TO item_id;
ALTER TABLE annotations RENAME COLUMN number TO item_id;
ALTER TABLE evaluations RENAME COLUMN number TO item_id;
ALTER TABLE queue_items RENAME COLUMN number TO item_id;

-- Counted annotations of an item by UTC day, and the newest such day.
ALTER TABLE rated RENAME TO item_days;
ALTER TABLE item_days RENAME COLUMN number TO item_id;

-- What items of a queue can have in common for counting them, and how many items have it.
ALTER TABLE shapes RENAME TO item_profiles;
ALTER TABLE item_profiles RENAME COLUMN shape TO profile;

-- The profile of each item in each queue.
ALTER TABLE shaped RENAME TO profile_items;
ALTER TABLE profile_items RENAME COLUMN number TO item_id;
ALTER TABLE profile_items RENAME COLUMN shape TO profile_id;
