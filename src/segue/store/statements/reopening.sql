-- What people do to single steps, and to runs that have ended: retry, fork, skip, mark, edit. The caller holds the run's
-- lock. What begins anew is worked out in Python from the whole run (engine/reopening/reopen.py) and written in batches.

-- name: graph_run
SELECT status, intent, outcome, error, started_at FROM segue_runs WHERE id = :run_id;

-- name: graph_steps
SELECT step, scope, name, task, is_join, status, attempt, rule, planned_rule, waiting_on, failed_above, skipped_above,
    children, hook, outcome, lane, planned_lane, ready_at, started_at
FROM segue_steps WHERE run_id = :run_id ORDER BY step;

-- name: steps_named
SELECT step FROM segue_steps WHERE run_id = :run_id AND name = :name ORDER BY step LIMIT :limit;

-- name: reopen_run
UPDATE segue_runs SET status = :status, intent = CAST(:intent AS text), outcome = CAST(:outcome AS text),
    error = CAST(:error AS text), waiting_on = :waiting_on, finished_at = NULL, discarded = discarded + :discarded,
    admitted_at = CASE WHEN finished_at IS NULL THEN admitted_at END  -- one that had ended waits for a place again
WHERE id = :run_id;

-- name: step_arguments
SELECT name, task, is_join, status, args, holes, lane FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: end_hook_by_hand
-- Before its scope has an outcome a hook is not waited for, so nobody is told.
UPDATE segue_steps SET status = :status, result = CAST(:result AS text), finished_at = :now
WHERE run_id = :run_id AND step = :step AND status = 'blocked';

-- name: set_arguments
UPDATE segue_steps SET args = :args, holes = CAST(:holes AS text) WHERE run_id = :run_id AND step = :step;

-- name: event_recorded
SELECT 1 FROM segue_events WHERE id = :id;

-- name: check_step_not_awaited
-- Its end would tell nobody, so the run could end before it does.
SELECT s.run_id, 'nothing waits for step ' || s.step || ', which has not ended' FROM segue_runs r
JOIN segue_steps s ON s.run_id = r.id
WHERE r.finished_at IS NULL AND r.intent IS NULL AND s.status IN ('blocked', 'ready', 'sent', 'running') AND 0 = (
    SELECT count(*) FROM segue_children c WHERE c.run_id = s.run_id AND c.step = s.step AND (c.child = s.scope OR 1 = (
        SELECT 1 FROM segue_steps k WHERE k.run_id = c.run_id AND k.step = c.child
        AND k.status = 'blocked' AND k.rule NOT IN ('any_succeeded', 'any_failed', 'handler'))));

-- name: alarms_of_run
SELECT step, kind, seconds FROM segue_alarms WHERE run_id = :run_id;

-- name: fork_run
-- No row back: a run of the workflow has the key.
INSERT INTO segue_runs (id, workflow, key, status, waiting_on, steps, fail_fast, has_hooks, result_expr, created_at,
    arguments, tags, metadata, forked_from, discarded, limit_name, limit_key)
SELECT :new_id, workflow, :key, 'pending', waiting_on, steps, fail_fast, has_hooks, result_expr, :now,
    arguments, tags, metadata, id, discarded, limit_name, limit_key
FROM segue_runs WHERE id = :run_id ON CONFLICT DO NOTHING RETURNING id;

-- name: run_of_fork
SELECT f.id FROM segue_runs r JOIN segue_runs f ON f.workflow = r.workflow AND f.key = :key WHERE r.id = :run_id;

-- name: fork_steps
-- As they stand, but that nobody has claimed them in this run. What begins anew in it is reset behind this.
INSERT INTO segue_steps (run_id, step, scope, name, task, is_join, status, gate, queue, priority, ready_at, delay, attempt,
    failures, losses, rule, waiting_on, failed_above, skipped_above, children, hook, outcome, has_hooks, may_fail, args,
    holes, when_expr, policy, result, result_expr, error, worker_id, cancel_requested, started_at, finished_at, seconds,
    lane, planned_lane, planned_rule, event, metadata)
SELECT :new_id, step, scope, name, task, is_join, status, gate, queue, priority, ready_at, delay, 0,
    failures, losses, rule, waiting_on, failed_above, skipped_above, children, hook, outcome, has_hooks, may_fail, args,
    holes, when_expr, policy, result, result_expr, error, worker_id, cancel_requested, started_at, finished_at, seconds,
    lane, planned_lane, planned_rule, event, metadata
FROM segue_steps WHERE run_id = :run_id;

-- name: fork_labels
INSERT INTO segue_labels (name, value, run_id, step)
SELECT name, value, :new_id, step FROM segue_labels WHERE run_id = :run_id ON CONFLICT DO NOTHING;
