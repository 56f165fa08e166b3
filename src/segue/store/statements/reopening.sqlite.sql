-- Reopening runs: lists as JSON, batches row by row.

-- name: among
step IN (SELECT value FROM json_each(:steps));

-- name: lock_ready_steps
-- The transaction already has the write lock.
SELECT 1 WHERE false AND :run_id IS NULL;

-- name: lock_ready_among
-- The same.
SELECT 1 WHERE false AND :run_id IS NULL AND :steps IS NULL;

-- name: reset_steps
-- columns: run_id uuid, step int, is_emptied bool, is_join bool, rule text, status text, gate text, ready_at time, attempt int, waiting_on int, failed_above int, skipped_above int, lane text
-- `is_emptied`: the plan that its task returned is discarded.
UPDATE segue_steps AS s SET status = ?6, gate = ?7, ready_at = ?8, attempt = ?9,
    waiting_on = ?10, failed_above = ?11, skipped_above = ?12, is_join = ?4,
    rule = ?5, planned_rule = CASE WHEN NOT ?3 THEN planned_rule END,
    result_expr = CASE WHEN NOT ?3 THEN result_expr END, has_hooks = has_hooks AND NOT ?3,
    lane = ?13, planned_lane = CASE WHEN NOT ?3 THEN planned_lane END, {cleared_columns}
WHERE run_id = ?1 AND step = ?2;

-- name: reset_ready_alike
-- The transaction has the write lock, so they are as they were: nothing is counted.
{reset_alike};

-- name: reset_ready_span
{reset_span};

-- name: arm_steps
-- columns: run_id uuid, step int, gate text, ready_at time
-- Runs after `reset_steps` and `reopen_run`, if these are written in parts.
UPDATE segue_steps SET status = 'ready', gate = ?3, ready_at = ?4 WHERE run_id = ?1 AND step = ?2 AND status = 'blocked';

-- name: reopen_scopes
-- columns: run_id uuid, step int, waiting_on int, outcome text, error text, result_expr text
UPDATE segue_steps SET status = 'blocked', waiting_on = ?3, outcome = ?4, error = ?5, result = NULL,
    result_expr = ?6,
    worker_id = NULL, cancel_requested = false, finished_at = NULL
WHERE run_id = ?1 AND step = ?2;

-- name: recount_steps
-- columns: run_id uuid, step int, waiting_on int, failed_above int, skipped_above int
UPDATE segue_steps SET waiting_on = ?3, failed_above = ?4, skipped_above = ?5 WHERE run_id = ?1 AND step = ?2;

-- name: change_edges
-- columns: run_id uuid, step int, children array
UPDATE segue_steps SET children = ?3 WHERE run_id = ?1 AND step = ?2;
