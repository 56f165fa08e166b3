-- Statements that differ on SQLite: lists are JSON, batches run row by row with ?1, ?2 ... in the order of their
-- columns.

-- name: insert_keys
-- Before the runs: a key that is taken keeps its run.
-- columns: workflow text, key text, run_id uuid
INSERT INTO segue_keys (workflow, key, run_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING;

-- name: insert_runs
-- columns: id uuid, workflow text, key text, waiting_on int, steps int, fail_fast bool, has_hooks bool, result_expr text, created_at time, arguments text, tags text, metadata text, limit_name text, limit_key text, started_by text
INSERT INTO segue_runs (id, workflow, key, status, waiting_on, steps, fail_fast, has_hooks, result_expr, created_at,
    arguments, tags, metadata, limit_name, limit_key, started_by)
VALUES (?1, ?2, ?3, 'pending', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT DO NOTHING;

-- name: insert_steps
-- A start may be repeated because its answer was lost. It finds the run with all of its steps: there is never only a
-- part.
-- columns: run_id uuid, step int, scope int, name text, task text, is_join bool, status text, gate text, queue text, priority int, ready_at time, delay float, rule text, waiting_on int, children array, hook text, may_fail bool, args text, holes text, when_expr text, policy text, result_expr text, lane text, metadata text
INSERT INTO segue_steps (run_id, step, scope, name, task, is_join, status, gate, queue, priority, ready_at, delay, rule,
    waiting_on, children, hook, may_fail, args, holes, when_expr, policy, result_expr, lane, metadata)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)
ON CONFLICT DO NOTHING;

-- name: insert_executor_steps
-- The same for plans in which executors run steps.
-- columns: run_id uuid, step int, scope int, name text, task text, is_join bool, status text, gate text, queue text, priority int, ready_at time, delay float, rule text, waiting_on int, children array, hook text, may_fail bool, args text, holes text, when_expr text, policy text, result_expr text, lane text, metadata text, executor text, spec text, handle text
INSERT INTO segue_steps (run_id, step, scope, name, task, is_join, status, gate, queue, priority, ready_at, delay, rule,
    waiting_on, children, hook, may_fail, args, holes, when_expr, policy, result_expr, lane, metadata, executor, spec, handle)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27)
ON CONFLICT DO NOTHING;

-- name: wake
-- Sends nothing: other processes see that the file changed.
SELECT 1 WHERE false;

-- name: lock_runs
-- The transaction already has the write lock.
SELECT r.id, status, intent, outcome, fail_fast, limit_name, admitted_at
FROM json_each(:ids) CROSS JOIN segue_runs r ON r.id = value;

-- name: lock_run
SELECT id, status, intent, outcome, fail_fast, limit_name, admitted_at FROM segue_runs WHERE id = :id;

-- name: lock_free_runs
{lock_runs}

-- name: existing_runs
SELECT r.id FROM json_each(:ids) CROSS JOIN segue_runs r ON r.id = value;

-- name: step_to_finish
SELECT rowid, children FROM segue_steps WHERE run_id = ?1 AND step = ?2 AND attempt = ?3 AND status = ?4;

-- name: steps_to_finish
-- The CROSS JOIN fixes the order. A step that is asked for twice is returned twice.
SELECT s.rowid, run_id, step, attempt, status, children
FROM (VALUES (?1, ?2)) o CROSS JOIN segue_steps s ON run_id = o.column1 AND step = o.column2;

-- name: finish_step
-- No RETURNING: SQLite makes a temporary table for it, so reading the children first is cheaper.
UPDATE segue_steps SET status = ?2, result = ?3, error = coalesce(?4, error), seconds = coalesce(?5, seconds),
    finished_at = ?6, gate = NULL
WHERE rowid = ?1;

-- name: finish_steps
UPDATE segue_steps SET status = o.column2, result = o.column3, error = coalesce(o.column4, error),
    seconds = coalesce(o.column5, seconds), finished_at = o.column6, gate = NULL
FROM (VALUES (?1, ?2, ?3, ?4, ?5, ?6)) o
WHERE segue_steps.rowid = o.column1;

-- name: ended_step
SELECT run_id, status, children, step FROM segue_steps
WHERE run_id = ?1 AND step = ?2 AND status IN ('succeeded', 'failed', 'skipped', 'cancelled');

-- name: release_run
UPDATE segue_runs SET waiting_on = waiting_on - ?1 WHERE id = ?2 RETURNING waiting_on;

-- name: release_plain_step
-- The common release: the last parent succeeded as all others did, and nothing keeps the step from being claimed. For
-- any other step `finish` applies the join rule and writes the result with `release_step`.
UPDATE segue_steps SET waiting_on = 0, status = 'ready', ready_at = ?1
WHERE run_id = ?2 AND step = ?3 AND waiting_on = ?4 AND {is_released_plainly};

-- name: release_plain_steps
-- The same for many children of one run.
UPDATE segue_steps SET waiting_on = 0, status = 'ready', ready_at = ?1
WHERE run_id = ?2 AND step IN (SELECT value FROM json_each(?3)) AND waiting_on = ?4 AND {is_released_plainly}
RETURNING step;

-- name: is_released_plainly
status = 'blocked' AND rule = 'all_succeeded'
AND failed_above = 0 AND skipped_above = 0 AND NOT is_join AND delay IS NULL AND ready_at IS NULL AND lane IS NULL
AND EXISTS (SELECT 1 FROM segue_runs r WHERE r.id = ?2 AND r.status <> 'paused'
    AND (r.limit_name IS NULL OR r.admitted_at IS NOT NULL));

-- name: release_step
UPDATE segue_steps
SET waiting_on = waiting_on - ?1, failed_above = failed_above + ?2, skipped_above = skipped_above + ?3
WHERE run_id = ?4 AND step = ?5 AND status = 'blocked'
RETURNING rule, waiting_on, failed_above, skipped_above, is_join, delay, ready_at, attempt, lane,
    (SELECT CASE WHEN r.limit_name IS NOT NULL AND r.admitted_at IS NULL AND r.intent IS NULL AND r.outcome IS NULL
        THEN 'admission' WHEN r.status = 'paused' THEN 'paused' END FROM segue_runs r WHERE r.id = ?4);

-- name: make_ready
UPDATE segue_steps SET status = 'ready', ready_at = ?1, gate = ?2 WHERE run_id = ?3 AND step = ?4;

-- name: forget_late_parents
-- A step that started as soon as one of its parents had ended, and whose task returned a plan, waits only for that
-- plan: parents that end later must not count down what it waits for. Their edge becomes -2 - step, which is not a step
-- number. Only the check whether a failure was handled converts it back.
UPDATE segue_steps SET children = (
    SELECT json_group_array(CASE WHEN c.value = :step THEN -2 - :step ELSE c.value END) FROM json_each(segue_steps.children) c)
WHERE run_id = :run_id AND scope <> :step
AND EXISTS (SELECT 1 FROM json_each(segue_steps.children) c WHERE c.value = :step);

-- name: lost_steps
-- Overridden to force the index on running steps: the planner would rather read all steps in the requested order.
SELECT s.run_id, s.step, s.attempt, w.name, w.id, w.status FROM segue_steps s INDEXED BY segue_steps_running
LEFT JOIN segue_workers w ON w.id = s.worker_id
WHERE s.status = 'running' AND ({has_no_worker} OR w.status IN ('lost', 'stopped')) AND {is_in_scope}
ORDER BY s.run_id, s.step LIMIT :limit;

-- name: due_timers
UPDATE segue_steps SET gate = CASE WHEN lane IS NOT NULL THEN 'limit' END WHERE rowid IN (
    SELECT rowid FROM segue_steps WHERE status = 'ready' AND gate = 'timer' AND ready_at <= :now
    ORDER BY ready_at LIMIT :limit);

-- name: claimed_columns
-- As `ClaimedRow` names them.
run_id, step, attempt, name, task, args, holes, when_expr, policy, failures, priority, ready_at, queue;

-- name: claim
UPDATE segue_steps SET status = 'running', attempt = attempt + 1, worker_id = :worker_id, started_at = :now
WHERE rowid IN (
    SELECT rowid FROM segue_steps
    WHERE status = 'ready' AND gate IS NULL AND queue = :queue AND task IN (SELECT value FROM json_each(:tasks))
    ORDER BY priority DESC, ready_at, run_id, step LIMIT :limit)
RETURNING {claimed_columns};

-- name: first_ready
-- Whatever their tasks, for `sqlite_claim`.
SELECT run_id, step, attempt + 1, name, task, args, holes, when_expr, policy, failures, priority, ready_at, queue, rowid
FROM segue_steps WHERE status = 'ready' AND gate IS NULL AND queue = ?1
ORDER BY priority DESC, ready_at, run_id, step LIMIT ?2;

-- name: claim_step
UPDATE segue_steps SET status = 'running', attempt = attempt + 1, worker_id = ?2, started_at = ?3 WHERE rowid = ?1;

-- name: claim_steps
UPDATE segue_steps SET status = 'running', attempt = attempt + 1, worker_id = ?2, started_at = ?3
WHERE rowid IN (SELECT value FROM json_each(?1));

-- name: claim_of_run
-- For executing one run in this process. Few steps are ready at a time, but the run may have any number: hence the
-- index.
UPDATE segue_steps SET status = 'running', attempt = attempt + 1, worker_id = :worker_id, started_at = :now
WHERE rowid IN (
    SELECT rowid FROM segue_steps INDEXED BY segue_steps_ready
    WHERE status = 'ready' AND gate IS NULL AND run_id = :run_id AND task IN (SELECT value FROM json_each(:tasks))
    ORDER BY priority DESC, ready_at, step LIMIT :limit)
RETURNING {claimed_columns};

-- name: runs_begin
UPDATE segue_runs SET status = 'running', started_at = :now
WHERE status = 'pending' AND id IN (SELECT value FROM json_each(:ids));

-- name: load_results
SELECT step, status, result, is_join, result_expr FROM segue_steps
WHERE run_id = :run_id AND step IN (SELECT value FROM json_each(:steps));

-- name: load_ends
SELECT step, name, status, error FROM segue_steps
WHERE run_id = :run_id AND step IN (SELECT value FROM json_each(:steps));

-- name: end_plain_run
-- The common end: the run waits for nothing else, nothing failed, no hook waits. For any other run `release_run` counts
-- down, and the engine decides how it ends when it waits for nothing more.
UPDATE segue_runs SET waiting_on = 0, status = 'succeeded', finished_at = ?1
WHERE id = ?2 AND waiting_on = ?3 AND intent IS NULL AND outcome IS NULL AND NOT has_hooks
AND NOT EXISTS (SELECT 1 FROM segue_steps f WHERE f.run_id = segue_runs.id AND f.status = 'failed');

-- name: prune_keys
-- Before the runs, which say what their keys are.
DELETE FROM segue_keys WHERE (workflow, key, run_id) IN (
    SELECT r.workflow, r.key, r.id FROM segue_runs r WHERE r.id IN (SELECT value FROM json_each(:ids)) AND r.key IS NOT NULL);

-- name: prune_runs
DELETE FROM segue_runs WHERE id IN (SELECT value FROM json_each(:ids));

-- name: prune_steps
DELETE FROM segue_steps WHERE run_id IN (SELECT value FROM json_each(:ids));

-- name: prune_unfinished
DELETE FROM segue_unfinished WHERE run_id IN (SELECT value FROM json_each(:ids));

-- name: prune_attempts
DELETE FROM segue_attempts WHERE run_id IN (SELECT value FROM json_each(:ids));

-- name: prune_progress
DELETE FROM segue_progress WHERE run_id IN (SELECT value FROM json_each(:ids));

-- name: count_runs
SELECT status, count(*) FROM segue_runs GROUP BY status;
