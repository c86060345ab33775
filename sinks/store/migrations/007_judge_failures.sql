-- Profiles name the failures that are shown, so that annotated items on which a judge failed are counted by metric.
DELETE FROM item_profiles;
DELETE FROM profile_items;
CREATE TEMP TABLE found AS
SELECT t.queue, t.item_id, json_array(
    EXISTS (SELECT 1 FROM queue_items AS q WHERE q.queue = t.queue AND q.item_id = t.item_id AND q.deleted = 0),
    json((SELECT json_group_array(json_array(d.criterion, d.day))
        FROM item_days AS d WHERE d.queue = t.queue AND d.item_id = t.item_id)),
    json((SELECT json_group_array(json_array(e.metric, e.judge))
        FROM evaluations AS e WHERE e.item_id = t.item_id AND e.failure = 0 AND e.deleted = 0)),
    json((SELECT json_group_array(json_array(e.metric, e.status))
        FROM evaluations AS e WHERE e.item_id = t.item_id AND e.shown = 1))) AS profile
FROM (SELECT queue, item_id FROM item_days
    UNION SELECT queue, item_id FROM queue_items WHERE deleted = 0) AS t;
INSERT INTO item_profiles (queue, profile, items) SELECT queue, profile, count(*) FROM found GROUP BY queue, profile;
INSERT INTO profile_items (item_id, queue, profile_id)
SELECT t.item_id, t.queue, p.id
FROM found AS t JOIN item_profiles AS p ON p.queue = t.queue AND p.profile = t.profile;
DROP TABLE found;
