-- Checkpoints: the types of parameters, locks and lists.

-- name: own_step
-- FOR SHARE: an act that takes the step from its attempt waits for the record, or the record sees that it is too late.
SELECT run_id, step, attempt FROM segue_steps
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_running} FOR SHARE;

-- name: bound_started_at
CAST(:now AS timestamptz);

-- name: bound_due_at
CAST(:due_at AS timestamptz);

-- name: bound_finished_at
CAST(:finished_at AS timestamptz);

-- name: end_checkpoint
WITH mine AS MATERIALIZED ({own_step})
UPDATE segue_checkpoints SET value = CAST(:value AS text), finished_at = :now
WHERE run_id = :run_id AND step = :step AND ordinal = :ordinal AND finished_at IS NULL
AND 1 = (SELECT count(*) FROM mine) RETURNING ordinal;

-- name: prune_checkpoints
DELETE FROM segue_checkpoints WHERE run_id = ANY(:ids::uuid[]);
