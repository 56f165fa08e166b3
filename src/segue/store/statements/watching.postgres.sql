-- Watching: what differs on PostgreSQL.

-- name: asked_of_worker
-- As an array the watched runs are read once, and not for each step.
SELECT run_id, step, attempt, cancel_requested FROM segue_steps
WHERE status = 'running' AND worker_id = :worker_id
AND (cancel_requested OR run_id = ANY(ARRAY(SELECT w.run_id FROM segue_watches w WHERE w.until > :now)));
