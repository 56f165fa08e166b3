-- Tags and metadata.

-- name: run_labels
SELECT tags, metadata FROM segue_runs WHERE id = :run_id;

-- name: step_labels
-- Steps by name or by number.
SELECT step, metadata FROM segue_steps
WHERE run_id = :run_id AND (step = :step OR name = :name) ORDER BY step;

-- name: set_run_labels
UPDATE segue_runs SET tags = :tags, metadata = :metadata WHERE id = :run_id;

-- name: set_step_labels
UPDATE segue_steps SET metadata = :metadata WHERE run_id = :run_id AND step = :step;

-- name: drop_labels
DELETE FROM segue_labels WHERE run_id = :run_id AND step = :step;

-- name: check_label
-- Every label belongs to an existing run.
SELECT l.run_id, 'label ' || l.name || '=' || l.value || ' is of no run' FROM segue_labels l
WHERE NOT coalesce((SELECT r.id FROM segue_runs r WHERE r.id >= l.run_id ORDER BY r.id LIMIT 1) = l.run_id, false);
