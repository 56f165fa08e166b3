-- name: ends_of_runs
-- Of those that have ended.
SELECT id, workflow, status, started_at, finished_at FROM segue_runs
WHERE finished_at IS NOT NULL AND id = ANY(:ids::uuid[]);
