-- Reopening runs: batches and lists in PostgreSQL's own types.

-- name: among
step = ANY(:steps::int[]);

-- name: lock_ready_steps
-- A claim in progress holds its rows: this waits for it, and later claims skip these rows.
SELECT step FROM segue_steps WHERE run_id = :run_id AND status = 'ready' ORDER BY step FOR NO KEY UPDATE;

-- name: lock_ready_among
-- The same, of these steps. The rows stay in the database: there may be very many.
SELECT count(*) FROM (SELECT 1 FROM segue_steps WHERE run_id = :run_id AND {among} AND status = 'ready'
    ORDER BY step FOR NO KEY UPDATE) locked;

-- name: lock_run_for_copy
-- Turns continue meanwhile: their lock is FOR NO KEY UPDATE.
SELECT limit_name, limit_key FROM segue_runs WHERE id = :run_id FOR KEY SHARE;

-- name: copy_run
-- One statement sees one snapshot, so the run need not be locked.
WITH run AS ({fork_terms}), steps AS ({fork_steps}), labels AS ({fork_labels}), alarms AS ({fork_alarms}),
    checkpoints AS ({fork_checkpoints})
SELECT id FROM run;

-- name: copy_steps
-- Runs with `copy_run`, in the same snapshot; so do the three below.
SELECT 1 WHERE false AND :run_id::uuid = :new_id::uuid;

-- name: copy_labels
{copy_steps};

-- name: copy_checkpoints
{copy_steps};

-- name: copy_alarms
SELECT 1 WHERE false AND :run_id::uuid = :new_id::uuid AND :at_rest::timestamptz IS NULL;

-- name: reset_steps
-- columns: run_id uuid, step int, is_emptied bool, is_join bool, rule text, status text, gate text, ready_at timestamptz, attempt int, waiting_on int, failed_above int, skipped_above int, lane text
-- `is_emptied`: the plan that its task returned is discarded.
UPDATE segue_steps s SET status = o.status, gate = o.gate, ready_at = o.ready_at, attempt = o.attempt,
    waiting_on = o.waiting_on, failed_above = o.failed_above, skipped_above = o.skipped_above, is_join = o.is_join,
    rule = o.rule, planned_rule = CASE WHEN NOT o.is_emptied THEN s.planned_rule END,
    result_expr = CASE WHEN NOT o.is_emptied THEN s.result_expr END, has_hooks = s.has_hooks AND NOT o.is_emptied,
    lane = o.lane, planned_lane = CASE WHEN NOT o.is_emptied THEN s.planned_lane END, {cleared_columns}
FROM :batch WHERE s.run_id = ANY(ARRAY[o.run_id]) AND s.step = o.step;

-- name: reset_ready_alike
-- The same, for ready steps. Steps that were claimed since they were read are not reset, so the count is lower. It waits
-- for a claim in progress. Locking the steps first would take half as long as writing them.
WITH reset AS ({reset_alike} AND status = 'ready' RETURNING 1) SELECT count(*) FROM reset;

-- name: reset_ready_span
WITH reset AS ({reset_span} AND status = 'ready' RETURNING 1) SELECT count(*) FROM reset;

-- name: arm_steps
-- columns: run_id uuid, step int, gate text, ready_at timestamptz
-- Runs after `reset_steps` and `reopen_run`, if these are written in parts.
UPDATE segue_steps s SET status = 'ready', gate = o.gate, ready_at = o.ready_at
FROM :batch WHERE s.run_id = ANY(ARRAY[o.run_id]) AND s.step = o.step AND s.status = 'blocked';

-- name: reopen_scopes
-- columns: run_id uuid, step int, waiting_on int, outcome text, error text, result_expr text
UPDATE segue_steps s SET status = 'blocked', waiting_on = o.waiting_on, outcome = o.outcome, error = o.error, result = NULL,
    result_expr = o.result_expr,
    worker_id = NULL, cancel_requested = false, finished_at = NULL
FROM :batch WHERE s.run_id = ANY(ARRAY[o.run_id]) AND s.step = o.step;

-- name: recount_steps
-- columns: run_id uuid, step int, waiting_on int, failed_above int, skipped_above int
UPDATE segue_steps s SET waiting_on = o.waiting_on, failed_above = o.failed_above, skipped_above = o.skipped_above
FROM :batch WHERE s.run_id = ANY(ARRAY[o.run_id]) AND s.step = o.step;

-- name: change_edges
-- columns: run_id uuid, step int, children text
UPDATE segue_steps s SET children = o.children::integer[] FROM :batch WHERE s.run_id = ANY(ARRAY[o.run_id]) AND s.step = o.step;
