-- What a worker's turn reads and writes, except claims and ends. A dialect's file may override one, and says why.

-- name: run_of_key
-- Of a run that is there. A worker of a release before 0007 writes and deletes runs without their keys, see `adopt_key`.
SELECT r.id FROM segue_keys k JOIN segue_runs r ON r.id = k.run_id WHERE k.workflow = :workflow AND k.key = :key;

-- name: release_key
-- Of a run that has ended, for another run. The run that had it keeps everything else.
UPDATE segue_runs SET key = NULL
WHERE id = (SELECT k.run_id FROM segue_keys k WHERE k.workflow = :workflow AND k.key = :key)
AND key = :key AND finished_at IS NOT NULL AND id <> :heir RETURNING id;

-- name: forget_key
DELETE FROM segue_keys WHERE workflow = :workflow AND key = :key AND run_id = :run_id;

-- name: free_key
-- Its run was deleted. Apart from `adopt_key`, so that it sees what was committed while that was waited for.
DELETE FROM segue_keys WHERE workflow = :workflow AND key = :key
AND NOT EXISTS (SELECT 1 FROM segue_runs r WHERE r.id = segue_keys.run_id);

-- name: adopt_key
-- A run has the key and wrote no row: an older release started it.
INSERT INTO segue_keys (workflow, key, run_id) SELECT workflow, key, id FROM segue_runs
WHERE workflow = :workflow AND key = :key ON CONFLICT DO NOTHING;

-- name: check_key_of_no_run
SELECT k.run_id, 'the key ' || k.key || ' of workflow ' || k.workflow || ' leads to a run that has another one'
FROM segue_keys k WHERE 1 = (
    SELECT CASE WHEN r.key IS NULL OR r.key <> k.key OR r.workflow <> k.workflow THEN 1 END
    FROM segue_runs r WHERE r.id >= k.run_id AND r.id <= k.run_id ORDER BY r.id);

-- name: step_state
-- What `decide` needs to know about a step, for outcomes that are not plain successes.
SELECT status, attempt, failures, losses, policy, hook, name, may_fail, rule, cancel_requested, lane, fenced, task
FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: is_live
-- An attempt is running, or may be: a step that was sent may have begun, and the report of its begin may be lost.
status IN ('running', 'sent');

-- name: is_running
-- A fragment: as `status = 'running'`, for statements that name a step by its key. PostgreSQL shall not read the index
-- on all running steps instead.
status || '' = 'running';

-- name: is_sent
-- In the same way.
status || '' = 'sent';

-- name: is_before_start
-- No attempt is running, and none can begin unnoticed: the executor of a fenced step asks first.
(status IN ('blocked', 'ready') OR (status = 'sent' AND coalesce(fenced, true)));

-- name: is_asked_to_end
-- The worker or executor of such a step must be asked to end it. A fenced step that was sent need not be: its begin is
-- refused.
(status = 'running' OR (status = 'sent' AND NOT coalesce(fenced, true)));

-- name: lock_step
-- The transaction has the write lock already.
SELECT 1 WHERE false AND :run_id IS NULL AND :step IS NULL;

-- name: requeue
-- A live step becomes ready again: to be retried, or because it was lost or handed back.
UPDATE segue_steps
SET status = 'ready', gate = coalesce(CAST(:gate AS text), CASE WHEN lane IS NOT NULL THEN 'limit' END), ready_at = :ready_at, failures = :failures, losses = :losses, error = :error,
    event = NULL, worker_id = NULL, cancel_requested = false, sent_until = NULL
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_live};

-- name: count_tries
UPDATE segue_steps SET failures = :failures, losses = :losses WHERE run_id = :run_id AND step = :step;

-- name: put_attempt
INSERT INTO segue_attempts (run_id, step, attempt, status, worker, started_at, finished_at, error, output, fingerprint)
SELECT run_id, step, :attempt, :status, :worker, started_at, :finished_at, :error, :output, :fingerprint
FROM segue_steps WHERE run_id = :run_id AND step = :step AND attempt = :attempt
ON CONFLICT (run_id, step, attempt) DO NOTHING;

-- name: put_progress
-- Only the last attempt may report progress: the one that is running, or that has ended. The last progress of an attempt
-- may come a moment after its end.
INSERT INTO segue_progress (run_id, step, attempt, done, total, message, started_at, updated_at)
SELECT s.run_id, s.step, s.attempt, :done, :total, :message, s.started_at, :now
FROM segue_steps s
WHERE s.run_id = :run_id AND s.step = :step AND s.attempt = :attempt
AND s.status IN ('running', 'succeeded', 'failed', 'skipped', 'cancelled')
ON CONFLICT (run_id, step) DO UPDATE
SET attempt = excluded.attempt, done = excluded.done, total = excluded.total, message = excluded.message,
    started_at = excluded.started_at, updated_at = excluded.updated_at;

-- name: expand_step
-- The task returned a plan: the step becomes a join on the last steps of that plan, whatever their outcome. `handler`
-- records that the step handles failures; `unhandled_failure` needs that.
UPDATE segue_steps
SET status = 'blocked', is_join = true, planned_rule = rule, rule = CASE WHEN rule IN ('any_failed', 'any_succeeded') THEN 'handler' ELSE 'all_done' END, waiting_on = :waiting_on, result_expr = :result_expr,
    has_hooks = :has_hooks, failed_above = 0, skipped_above = 0, seconds = :seconds, worker_id = NULL
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_live};

-- name: scope_to_pass_on
-- Finds a step that is the only one its scope waits for and whose result is the scope's result, so that the plan it
-- returned may take its place. A step that may fail, or has an SLA for its end, does not qualify: both would have to
-- cover the returned plan. The steps of a plan are numbered consecutively, so the neighbours of a step show whether it
-- is alone. Each subquery is a value, so that it looks for its few rows by their keys.
SELECT b.scope, b.children FROM segue_steps b
WHERE b.run_id = :run_id AND b.step = :step AND b.hook IS NULL AND NOT b.may_fail
AND 1 = (SELECT 1 FROM segue_steps a WHERE a.run_id = b.run_id AND a.step = b.scope
    AND a.status = 'blocked' AND NOT a.has_hooks AND a.outcome IS NULL AND a.result_expr = :result_expr)
AND 0 = (SELECT count(*) FROM segue_steps o WHERE o.run_id = b.run_id AND o.step >= b.step - 1 AND o.step <= b.step + 1
    AND o.step <> b.step AND o.scope = b.scope AND o.passed_on_to IS NULL)
AND NOT EXISTS (SELECT 1 FROM segue_alarms m WHERE m.run_id = b.run_id AND m.step = b.step AND m.kind = 'late_end');

-- name: pass_on
-- Its children are not updated: they wait for the step that takes its place.
UPDATE segue_steps
SET status = 'succeeded', is_join = true, planned_rule = rule, passed_on_to = :next, result_expr = :result_expr,
    seconds = :seconds, finished_at = :now
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_live};

-- name: take_step_numbers
-- The caller holds the run's lock, so no other transaction numbers steps now.
UPDATE segue_runs SET steps = steps + :count WHERE id = :run_id RETURNING steps - :count, workflow;

-- name: hold_steps
-- Nothing may be claimed in a run that is paused or waits for its admission. So this also holds steps that became ready
-- by a path other than `finish`. Steps that wait for an event keep waiting: they cannot be claimed anyway.
UPDATE segue_steps SET gate = CASE WHEN EXISTS (
    SELECT 1 FROM segue_runs r WHERE r.id = :run_id AND r.limit_name IS NOT NULL AND r.admitted_at IS NULL
    AND r.intent IS NULL AND r.outcome IS NULL) THEN 'admission' ELSE 'paused' END
WHERE run_id = :run_id AND status = 'ready' AND (gate IS NULL OR gate IN ('timer', 'limit'));

-- name: count_ready
-- In one queue, whatever the task; counts up to a maximum.
SELECT count(*) FROM (
    SELECT 1 FROM segue_steps WHERE status = 'ready' AND gate IS NULL AND queue = :queue LIMIT :limit) found;

-- name: next_timer
-- A task that waits for a message without a timeout has its timer at the end of time.
SELECT min(ready_at) FROM segue_steps WHERE status = 'ready' AND gate = 'timer' AND ready_at < '9999-01-01';
