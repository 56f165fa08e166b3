-- Waits: lists and batches in PostgreSQL's own types.

-- name: wait_rows
SELECT s.step, s.attempt, s.status, s.name, s.task, s.args, s.holes, s.when_expr, s.policy, s.delay, s.ready_at, s.hook,
    s.may_fail, r.fail_fast
FROM segue_runs r CROSS JOIN {chosen_steps} o JOIN segue_steps s ON s.run_id = ANY(ARRAY[o.of_run]) AND s.step = o.number
WHERE r.id = :run_id ORDER BY s.step;

-- name: begin_waits
-- columns: run_id uuid, step int, gate text, ready_at timestamptz, event text, started_at timestamptz
UPDATE segue_steps s SET status = 'ready', is_join = false, gate = o.gate, ready_at = o.ready_at, event = o.event,
    started_at = o.started_at
FROM :batch WHERE s.run_id = ANY(ARRAY[o.run_id]) AND s.step = o.step AND s.status = 'blocked';
