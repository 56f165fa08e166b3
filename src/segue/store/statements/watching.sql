-- What running attempts print, for those who watch their runs.

-- name: watch_run
INSERT INTO segue_watches (run_id, until) VALUES (:run_id, :until)
ON CONFLICT (run_id) DO UPDATE SET until = excluded.until WHERE segue_watches.until < excluded.until;

-- name: watched_until
SELECT until FROM segue_watches WHERE run_id = :run_id;

-- name: asked_of_worker
-- The attempts of a worker that are to end, and those whose output is read meanwhile. The runs that are watched are few,
-- and hardly ever any.
SELECT run_id, step, attempt, cancel_requested FROM segue_steps
WHERE status = 'running' AND worker_id = :worker_id
AND (cancel_requested OR run_id IN (SELECT w.run_id FROM segue_watches w WHERE w.until > :now));

-- name: put_live_output
INSERT INTO segue_live_output (run_id, step, attempt, output, updated_at) VALUES (:run_id, :step, :attempt, :output, :now)
ON CONFLICT (run_id, step) DO UPDATE SET attempt = excluded.attempt, output = excluded.output,
    updated_at = excluded.updated_at
WHERE segue_live_output.attempt <= excluded.attempt;

-- name: live_output
SELECT attempt, output, updated_at FROM segue_live_output WHERE run_id = :run_id AND step = :step;

-- name: prune_watches
DELETE FROM segue_watches WHERE until < :before;

-- name: prune_live_output
DELETE FROM segue_live_output WHERE updated_at < :before;
