-- Reopening runs, where batches and lists are PostgreSQL's own.

-- name: lock_ready_steps
-- A claim that is under way holds its rows: this waits for it, and later claims pass over them.
SELECT step FROM segue_steps WHERE run_id = :run_id AND status = 'ready' ORDER BY step FOR NO KEY UPDATE;

-- name: reset_steps
-- columns: run_id uuid, step int, is_emptied bool, is_join bool, rule text, status text, gate text, ready_at timestamptz, attempt int, waiting_on int, failed_above int, skipped_above int, lane text
-- `is_emptied`: the plan that its task had returned is thrown away.
UPDATE segue_steps s SET status = o.status, gate = o.gate, ready_at = o.ready_at, attempt = o.attempt, failures = 0, losses = 0,
    waiting_on = o.waiting_on, failed_above = o.failed_above, skipped_above = o.skipped_above, is_join = o.is_join,
    rule = o.rule, planned_rule = CASE WHEN NOT o.is_emptied THEN s.planned_rule END,
    result_expr = CASE WHEN NOT o.is_emptied THEN s.result_expr END, has_hooks = s.has_hooks AND NOT o.is_emptied,
    lane = o.lane, planned_lane = NULL, outcome = NULL, result = NULL, error = NULL, event = NULL, worker_id = NULL, cancel_requested = false,
    started_at = NULL, finished_at = NULL, seconds = NULL
FROM :batch WHERE s.run_id = o.run_id AND s.step = o.step;

-- name: reopen_scopes
-- columns: run_id uuid, step int, waiting_on int, outcome text, error text, result_expr text
UPDATE segue_steps s SET status = 'blocked', waiting_on = o.waiting_on, outcome = o.outcome, error = o.error, result = NULL,
    result_expr = o.result_expr,
    worker_id = NULL, cancel_requested = false, finished_at = NULL
FROM :batch WHERE s.run_id = o.run_id AND s.step = o.step;

-- name: recount_steps
-- columns: run_id uuid, step int, waiting_on int, failed_above int, skipped_above int
UPDATE segue_steps s SET waiting_on = o.waiting_on, failed_above = o.failed_above, skipped_above = o.skipped_above
FROM :batch WHERE s.run_id = o.run_id AND s.step = o.step;

-- name: change_edges
-- columns: run_id uuid, step int, children text
UPDATE segue_steps s SET children = o.children::integer[] FROM :batch WHERE s.run_id = o.run_id AND s.step = o.step;

-- name: discard_steps
DELETE FROM segue_steps WHERE run_id = :run_id AND step = ANY(:steps::int[]);

-- name: discard_progress
DELETE FROM segue_progress WHERE run_id = :run_id AND step = ANY(:steps::int[]);

-- name: discard_labels
DELETE FROM segue_labels WHERE run_id = :run_id AND step = ANY(:steps::int[]);

-- name: discard_alarms
DELETE FROM segue_alarms WHERE run_id = :run_id AND step = ANY(:steps::int[]);

-- name: result_exprs
SELECT step, result_expr FROM segue_steps WHERE run_id = :run_id AND step = ANY(:steps::int[]);
