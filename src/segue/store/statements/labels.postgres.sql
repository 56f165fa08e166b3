-- Tags and metadata: batches.

-- name: put_labels
-- columns: name text, value text, run_id uuid, step int
INSERT INTO segue_labels (name, value, run_id, step) SELECT name, value, run_id, step FROM :batch ON CONFLICT DO NOTHING;

-- name: prune_labels
DELETE FROM segue_labels WHERE run_id = ANY(:ids::uuid[]);

