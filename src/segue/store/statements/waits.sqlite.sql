-- Waits: lists as JSON, batches row by row.

-- name: wait_rows
SELECT s.step, s.attempt, s.status, s.name, s.task, s.args, s.holes, s.when_expr, s.policy, s.delay, s.ready_at, s.hook,
    s.may_fail, r.fail_fast
FROM segue_steps s JOIN segue_runs r ON r.id = s.run_id
WHERE s.run_id = :run_id AND s.step IN (SELECT value FROM json_each(:steps)) ORDER BY s.step;

-- name: begin_waits
-- columns: run_id uuid, step int, gate text, ready_at time, event text, started_at time
UPDATE segue_steps SET status = 'ready', is_join = false, gate = ?3, ready_at = ?4, event = ?5, started_at = ?6
WHERE run_id = ?1 AND step = ?2 AND status = 'blocked';
