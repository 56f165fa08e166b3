-- Checkpoints: parameters have no types, and lists are JSON.

-- name: bound_started_at
:now;

-- name: bound_due_at
:due_at;

-- name: bound_finished_at
:finished_at;

-- name: prune_checkpoints
DELETE FROM segue_checkpoints WHERE run_id IN (SELECT value FROM json_each(:ids));
