-- Waits, where lists and batches are PostgreSQL's own.

-- name: wait_rows
SELECT s.step, s.attempt, s.status, s.name, s.task, s.args, s.holes, s.when_expr, s.policy, s.delay, s.ready_at, s.hook,
    s.may_fail, r.fail_fast
FROM segue_steps s JOIN segue_runs r ON r.id = s.run_id
WHERE s.run_id = :run_id AND s.step = ANY(:steps::int[]) ORDER BY s.step;

-- name: begin_waits
-- columns: run_id uuid, step int, gate text, ready_at timestamptz, event text, started_at timestamptz
UPDATE segue_steps s SET status = 'ready', is_join = false, gate = o.gate, ready_at = o.ready_at, event = o.event,
    started_at = o.started_at
FROM :batch WHERE s.run_id = o.run_id AND s.step = o.step AND s.status = 'blocked';
