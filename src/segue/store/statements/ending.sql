-- How runs, scopes and hooks end.

-- name: join_state
SELECT attempt, result_expr, has_hooks, outcome, task, error, result IS NOT NULL, lane, status FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: set_result_expr
UPDATE segue_steps SET result_expr = :result_expr WHERE run_id = :run_id AND step = :step;

-- name: run_state
SELECT status, intent, outcome, waiting_on, has_hooks, error
FROM segue_runs WHERE id = :run_id;

-- name: end_run
-- If the run could not be marked as begun because another turn held it, its first step tells when it began.
UPDATE segue_runs SET status = :status, finished_at = :now, error = :error, outcome = :status, started_at = coalesce(
    started_at, (SELECT min(s.started_at) FROM segue_steps s WHERE s.run_id = segue_runs.id))
WHERE id = :run_id AND status NOT IN ('succeeded', 'failed', 'cancelled');

-- name: unhandled_failure
-- The first step of a scope whose failure counts: it may not fail, and no child took the failure on and succeeded.
-- It counts, because thousands of steps may have failed: this makes the planner look at the children of each failed
-- step.
SELECT f.step, f.name, f.error FROM segue_steps f
WHERE f.run_id = :run_id AND f.scope = :scope AND f.status = 'failed' AND f.hook IS NULL AND NOT f.may_fail
AND 0 = (
    SELECT count(*) FROM segue_children c WHERE c.run_id = f.run_id AND c.step = f.step AND 1 = (
        SELECT 1 FROM segue_steps h WHERE h.run_id = c.run_id AND h.scope = f.scope
        AND h.step = CASE WHEN c.child < -1 THEN -2 - c.child ELSE c.child END  -- see forget_late_parents
        AND h.rule IN ('any_failed', 'any_succeeded', 'handler') AND h.status = 'succeeded'))
ORDER BY f.finished_at, f.step LIMIT 1;

-- name: failed_hook
SELECT step, name, error FROM segue_steps
WHERE run_id = :run_id AND scope = :scope AND status = 'failed' AND hook IS NOT NULL AND NOT may_fail
ORDER BY step LIMIT 1;

-- name: hooks_of_scope
SELECT step, hook, attempt, status, children FROM segue_steps
WHERE run_id = :run_id AND scope = :scope AND hook IS NOT NULL ORDER BY step;

-- name: hook_state
SELECT delay, ready_at, is_join, waiting_on, rule, skipped_above FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: count_down_hook
-- For a hook without parents the outcome is the last thing to wait for; for a hook with parents, the first.
UPDATE segue_steps SET status = :status, waiting_on = waiting_on - 1, ready_at = :ready_at,
    gate = coalesce(CAST(:gate AS text), CASE WHEN lane IS NOT NULL AND :status = 'ready' THEN 'limit' END)
WHERE run_id = :run_id AND step = :step AND status = 'blocked';

-- name: skip_hook
UPDATE segue_steps SET status = 'skipped', finished_at = :now WHERE run_id = :run_id AND step = :step AND status = 'blocked';

-- name: set_run_outcome
UPDATE segue_runs SET outcome = :outcome, error = :error, waiting_on = :waiting_on WHERE id = :run_id;

-- name: set_scope_outcome
UPDATE segue_steps SET outcome = :outcome, error = :error, waiting_on = :waiting_on WHERE run_id = :run_id AND step = :step;

-- name: set_intent
UPDATE segue_runs SET intent = :intent, error = :error
WHERE id = :run_id AND intent IS NULL AND outcome IS NULL AND status NOT IN ('succeeded', 'failed', 'cancelled')
RETURNING id;

-- name: cancel_waiting_steps
-- Cancels every step that has not begun. The run's own hooks stay: they wait for its outcome. The hooks of a plan that
-- a task returned are cancelled with it, because the outcome of that plan no longer matters.
UPDATE segue_steps SET status = 'cancelled', gate = NULL, finished_at = :now
WHERE run_id = :run_id AND {is_before_start} AND (hook IS NULL OR scope <> -1) AND step <> :but;

-- name: request_cancel
UPDATE segue_steps SET cancel_requested = true
WHERE run_id = :run_id AND {is_live};

-- name: is_busy
-- For a run that is being ended: whether the outcome of a step is still awaited. Each report of such a run asks, so it
-- stops at the first: no index has the live steps of one run.
SELECT 1 FROM segue_steps WHERE run_id = :run_id AND {is_live} LIMIT 1;

-- name: hook_scope
SELECT hook, scope FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: run_outcome
SELECT workflow, outcome, error, result_expr FROM segue_runs WHERE id = :run_id;

-- name: hook_facts
-- What hooks receive of their run, besides how it ended. Long arguments are left out: they can be read with the run.
SELECT key, tags, metadata, {short_arguments} FROM segue_runs WHERE id = :run_id;

-- name: short_arguments
-- A fragment.
CASE WHEN length(arguments) <= 65536 THEN arguments END

-- name: scope_outcome
SELECT name, outcome, error, result_expr FROM segue_steps WHERE run_id = :run_id AND step = :step;
