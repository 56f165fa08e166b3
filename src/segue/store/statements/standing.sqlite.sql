-- name: ends_of_runs
-- Of those that have ended.
SELECT id, workflow, status, started_at, finished_at, created_at, key, steps - discarded, error, trace,
    (SELECT t.schedule FROM segue_ticks t WHERE t.run_id = segue_runs.id LIMIT 1)
FROM segue_runs
WHERE finished_at IS NOT NULL AND id IN (SELECT value FROM json_each(:ids));

-- name: traces_of_runs
SELECT id, trace FROM segue_runs WHERE id IN (SELECT value FROM json_each(:ids));
