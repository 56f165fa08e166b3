-- Tags and metadata: batches.

-- name: put_labels
-- columns: name text, value text, run_id uuid, step int
INSERT INTO segue_labels (name, value, run_id, step) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING;

-- name: prune_labels
DELETE FROM segue_labels WHERE run_id IN (SELECT value FROM json_each(:ids));

