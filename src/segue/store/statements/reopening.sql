-- What people do to single steps, and to ended runs: retry, fork, skip, mark, edit. The caller holds the run's lock.
-- Python computes from the whole run what is reset (engine/reopening/reopen.py) and writes it in batches.

-- name: graph_run
SELECT status, intent, outcome, error, started_at FROM segue_runs WHERE id = :run_id;

-- name: graph_steps
SELECT step, scope, name, task, is_join, status, attempt, rule, planned_rule, waiting_on, failed_above, skipped_above,
    children, hook, outcome, lane, planned_lane, ready_at, started_at, passed_on_to
FROM segue_steps WHERE run_id = :run_id ORDER BY step;

-- name: steps_named
SELECT step FROM segue_steps WHERE run_id = :run_id AND name = :name ORDER BY step LIMIT :limit;

-- name: reopen_run
UPDATE segue_runs SET status = :status, intent = CAST(:intent AS text), outcome = CAST(:outcome AS text),
    error = CAST(:error AS text), waiting_on = :waiting_on, finished_at = NULL, discarded = discarded + :discarded,
    admitted_at = CASE WHEN finished_at IS NULL THEN admitted_at END  -- a run that had ended waits for a place again
WHERE id = :run_id;

-- name: step_arguments
SELECT name, task, is_join, status, args, holes, lane, planned_lane FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: end_hook_by_hand
-- A hook is not waited for before its scope has an outcome, so nothing is counted down.
UPDATE segue_steps SET status = :status, result = CAST(:result AS text), finished_at = :now
WHERE run_id = :run_id AND step = :step AND status = 'blocked';

-- name: set_arguments
UPDATE segue_steps SET args = :args, holes = CAST(:holes AS text) WHERE run_id = :run_id AND step = :step;

-- name: set_lane
UPDATE segue_steps SET lane = :lane, planned_lane = CAST(:planned_lane AS text) WHERE run_id = :run_id AND step = :step;

-- name: set_planned_lane
-- For an ended step: it holds nothing, and waits in this lane when it is reset.
UPDATE segue_steps SET planned_lane = :planned_lane WHERE run_id = :run_id AND step = :step;

-- name: event_recorded
SELECT 1 FROM segue_events WHERE id = :id;

-- name: check_step_not_awaited
-- The end of such a step would count down nothing, so the run could end before it does.
SELECT s.run_id, 'nothing waits for step ' || s.step || ', which has not ended' FROM segue_runs r
JOIN segue_steps s ON {is_step_of_run}
WHERE r.finished_at IS NULL AND r.intent IS NULL AND s.status IN ('blocked', 'ready', 'sent', 'running') AND 0 = (
    SELECT count(*) FROM segue_children c WHERE c.run_id = s.run_id AND c.step = s.step AND (c.child = s.scope OR 1 = (
        SELECT 1 FROM segue_steps k WHERE k.run_id = c.run_id AND k.step = c.child
        AND k.status = 'blocked' AND k.rule NOT IN ('any_succeeded', 'any_failed', 'handler'))));

-- name: alarms_of_run
SELECT step, kind, seconds FROM segue_alarms WHERE run_id = :run_id;

-- name: fork_run
-- No row returned: a run of the workflow has the key.
INSERT INTO segue_runs (id, workflow, key, status, waiting_on, steps, fail_fast, has_hooks, result_expr, created_at,
    arguments, tags, metadata, forked_from, discarded, limit_name, limit_key, version, started_by)
SELECT :new_id, workflow, :key, 'pending', waiting_on, steps, fail_fast, has_hooks, result_expr, :now,
    arguments, tags, metadata, id, discarded, limit_name, limit_key, version, CAST(:started_by AS text)
FROM segue_runs WHERE id = :run_id ON CONFLICT DO NOTHING RETURNING id;

-- name: fork_steps
-- The new run's steps have not been claimed, and none may start before the reset that follows. The reset covers every
-- step that has not ended. A step that runs in the new run is another one to its executor, so it loses its handle. One
-- that keeps its result keeps the handle, and `mirrored_at` says that the result is the executor's already.
INSERT INTO segue_steps (run_id, step, scope, name, task, is_join, status, gate, queue, priority, ready_at, delay, attempt,
    failures, losses, rule, waiting_on, failed_above, skipped_above, children, hook, outcome, has_hooks, may_fail, args,
    holes, when_expr, policy, result, result_expr, error, worker_id, cancel_requested, started_at, finished_at, seconds,
    lane, planned_lane, planned_rule, event, metadata, passed_on_to, executor, spec, handle, fenced, sent_at, sent_until,
    mirrored_at, added)
SELECT :new_id, step, scope, name, task, is_join,
    CASE WHEN status IN ('ready', 'sent', 'running') THEN 'blocked' ELSE status END, NULL, queue, priority, ready_at, delay, 0,
    failures, losses, rule, waiting_on, failed_above, skipped_above, children, hook, outcome, has_hooks, may_fail, args,
    holes, when_expr, policy, result, result_expr, error, NULL, false, started_at, finished_at, seconds,
    lane, planned_lane, planned_rule, event, metadata, passed_on_to, executor, spec,
    CASE WHEN status = 'succeeded' THEN handle END, fenced, sent_at, sent_until,
    CASE WHEN status = 'succeeded' THEN finished_at END, added
FROM segue_steps WHERE run_id = :run_id;

-- name: fork_labels
INSERT INTO segue_labels (name, value, run_id, step)
SELECT name, value, :new_id, step FROM segue_labels WHERE run_id = :run_id ON CONFLICT DO NOTHING;

-- name: fork_alarms
-- Parked; the reset sets the alarms of the steps that it covers.
INSERT INTO segue_alarms (run_id, step, kind, due_at, seconds)
SELECT :new_id, step, kind, :at_rest, seconds FROM segue_alarms WHERE run_id = :run_id;

-- name: drop_resting_alarms
DELETE FROM segue_alarms WHERE run_id = :run_id AND due_at >= :at_rest;

-- name: lock_run_for_copy
-- Locks a run while it is copied, so that it is not deleted meanwhile.
SELECT limit_name, limit_key FROM segue_runs WHERE id = :run_id;

-- name: fork_terms
-- A large run is copied while it goes on; its own row is copied with its steps. No row returned: the run is not in the
-- required state.
UPDATE segue_runs SET waiting_on = r.waiting_on, steps = r.steps, has_hooks = r.has_hooks, result_expr = r.result_expr,
    discarded = r.discarded, limit_name = NULL, limit_key = NULL
FROM segue_runs r WHERE segue_runs.id = :new_id AND r.id = :run_id
AND NOT EXISTS (SELECT 1 FROM segue_unfinished u WHERE u.run_id = :run_id) RETURNING segue_runs.id;

-- name: copy_run
-- SQLite overrides the copy: its transaction has the write lock, so nothing changes between statements.
{fork_terms};

-- name: copy_steps
{fork_steps};

-- name: copy_labels
{fork_labels};

-- name: copy_checkpoints
{fork_checkpoints};

-- name: copy_alarms
{fork_alarms};

-- name: read_run_unlocked
-- Like `lock_runs`, without the lock.
SELECT id, status, intent, outcome, fail_fast, limit_name, admitted_at FROM segue_runs WHERE id = :run_id;

-- name: is_large
SELECT 1 FROM segue_runs WHERE id = :run_id AND steps - discarded > :steps;

-- name: stamp_of_run
-- After a run has ended, nothing but its labels changes without an event.
SELECT status, finished_at, steps, discarded,
    (SELECT e.id FROM segue_events e WHERE e.run_id = r.id ORDER BY e.id DESC LIMIT 1)
FROM segue_runs r WHERE r.id = :run_id;

-- name: in_span
-- Steps whose numbers follow one another, as those of a group do: there is nothing to look up.
step BETWEEN :first AND :last;

-- name: stamp_columns
-- These differ after any change of the steps, unless a person made it: each claim raises the sum of attempts, and each
-- end the number of ended steps. Any other change makes a step ready, or blocks it until its task's plan has ended.
SELECT count(*), coalesce(sum(attempt), 0), count(CASE status WHEN 'blocked' THEN 1 END),
    count(CASE status WHEN 'ready' THEN 1 END),
    count(CASE WHEN status IN ('succeeded', 'failed', 'skipped', 'cancelled') THEN 1 END), count(outcome)
FROM segue_steps WHERE run_id = :run_id;

-- name: stamp_of_steps
{stamp_columns} AND {among};

-- name: stamp_of_span
{stamp_columns} AND {in_span};

-- name: ended_among
SELECT step, status FROM segue_steps
WHERE run_id = :run_id AND {among} AND status IN ('succeeded', 'failed', 'skipped', 'cancelled');

-- name: counters_among
SELECT step, waiting_on, failed_above, skipped_above FROM segue_steps WHERE run_id = :run_id AND {among};

-- name: edges_among
SELECT step, children FROM segue_steps WHERE run_id = :run_id AND {among};

-- name: cleared_columns
-- What a reset step loses, whatever its status was. It keeps the number of its attempt.
failures = 0, losses = 0, passed_on_to = NULL, outcome = NULL, result = NULL, error = NULL, event = NULL,
    worker_id = NULL, cancel_requested = false, started_at = NULL, finished_at = NULL, seconds = NULL,
    handle = CASE WHEN s.status <> 'succeeded' OR s.mirrored_at IS NULL THEN s.handle END, mirrored_at = NULL;

-- name: reset_columns
-- As `reset_steps`, for very many steps that get equal rows: only the number of each is sent.
UPDATE segue_steps AS s SET status = :status, gate = CAST(:gate AS text), ready_at = :ready_at,
    waiting_on = :waiting_on, failed_above = :failed_above, skipped_above = :skipped_above, is_join = :is_join,
    rule = :rule, planned_rule = CASE WHEN NOT CAST(:is_emptied AS boolean) THEN planned_rule END,
    result_expr = CASE WHEN NOT CAST(:is_emptied AS boolean) THEN result_expr END,
    has_hooks = has_hooks AND NOT CAST(:is_emptied AS boolean), lane = CAST(:lane AS text),
    planned_lane = CASE WHEN NOT CAST(:is_emptied AS boolean) THEN planned_lane END, {cleared_columns}
WHERE run_id = :run_id;

-- name: reset_alike
{reset_columns} AND {among};

-- name: reset_span
{reset_columns} AND {in_span};

-- name: discard_steps
DELETE FROM segue_steps WHERE run_id = :run_id AND {among};

-- name: discard_progress
DELETE FROM segue_progress WHERE run_id = :run_id AND {among};

-- name: discard_labels
DELETE FROM segue_labels WHERE run_id = :run_id AND {among};

-- name: discard_alarms
DELETE FROM segue_alarms WHERE run_id = :run_id AND {among};

-- name: result_exprs
SELECT step, result_expr FROM segue_steps WHERE run_id = :run_id AND {among};
