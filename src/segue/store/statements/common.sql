-- Statements that read the same in every dialect. A dialect's file may say one again, with its reason.

-- Starting ------------------------------------------------------------------------------------------------------

-- name: run_of_key
SELECT id FROM segue_runs WHERE workflow = :workflow AND key = :key;

-- The turn -------------------------------------------------------------------------------------------------------

-- name: step_state
-- What `decide` needs to know of a step, for outcomes that are not plain successes.
SELECT status, attempt, failures, losses, policy, hook, name, may_fail, rule, cancel_requested, lane
FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: requeue
-- A running step goes back to ready: to be tried again, or because it was lost or handed back.
UPDATE segue_steps
SET status = 'ready', gate = coalesce(CAST(:gate AS text), CASE WHEN lane IS NOT NULL THEN 'limit' END), ready_at = :ready_at, failures = :failures, losses = :losses, error = :error,
    worker_id = NULL, cancel_requested = false
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND status = 'running';

-- name: count_tries
UPDATE segue_steps SET failures = :failures, losses = :losses WHERE run_id = :run_id AND step = :step;

-- name: put_attempt
INSERT INTO segue_attempts (run_id, step, attempt, status, worker, started_at, finished_at, error, output)
SELECT run_id, step, :attempt, :status, :worker, started_at, :finished_at, :error, :output
FROM segue_steps WHERE run_id = :run_id AND step = :step AND attempt = :attempt
ON CONFLICT (run_id, step, attempt) DO NOTHING;

-- name: put_progress
-- Only the attempt that runs now may say how far it is.
INSERT INTO segue_progress (run_id, step, attempt, done, total, message, started_at, updated_at)
SELECT s.run_id, s.step, s.attempt, :done, :total, :message, s.started_at, :now
FROM segue_steps s
WHERE s.run_id = :run_id AND s.step = :step AND s.attempt = :attempt AND s.status = 'running'
ON CONFLICT (run_id, step) DO UPDATE
SET attempt = excluded.attempt, done = excluded.done, total = excluded.total, message = excluded.message,
    started_at = excluded.started_at, updated_at = excluded.updated_at;

-- name: expand_step
-- The task returned a plan: the step is now a join on that plan's last steps, whatever they come to. That it was there to
-- take failures on (`handler`) is kept, for `unhandled_failure`.
UPDATE segue_steps
SET status = 'blocked', is_join = true, planned_rule = rule, rule = CASE WHEN rule IN ('any_failed', 'any_succeeded') THEN 'handler' ELSE 'all_done' END, waiting_on = :waiting_on, result_expr = :result_expr,
    has_hooks = :has_hooks, failed_above = 0, skipped_above = 0, seconds = :seconds, worker_id = NULL
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND status = 'running';

-- name: take_step_numbers
-- The caller holds the run's lock, so nobody else numbers steps now.
UPDATE segue_runs SET steps = steps + :count WHERE id = :run_id RETURNING steps - :count;

-- name: join_state
SELECT attempt, result_expr, has_hooks, outcome, task, error, result IS NOT NULL, lane FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: set_result_expr
UPDATE segue_steps SET result_expr = :result_expr WHERE run_id = :run_id AND step = :step;

-- Ending runs and scopes -------------------------------------------------------------------------------------------

-- name: run_state
SELECT status, intent, outcome, waiting_on, has_hooks, error
FROM segue_runs WHERE id = :run_id;

-- name: end_run
UPDATE segue_runs SET status = :status, finished_at = :now, error = :error, outcome = :status
WHERE id = :run_id AND status NOT IN ('succeeded', 'failed', 'cancelled');

-- name: unhandled_failure
-- The first step of a scope whose failure counts: it may not fail, and no child took the failure on and succeeded.
-- Counted, because thousands may have failed: each looks at its own children, whatever else the planner would try.
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

-- name: tell_hook
-- The outcome is the last thing that a hook without parents waits for, and the first of one that has some.
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
-- Everything that has not begun; the run's finalizers are left, they wait for the outcome. Those of a plan that a task
-- returned go with it: nobody asks for that plan's outcome any more.
UPDATE segue_steps SET status = 'cancelled', gate = NULL, finished_at = :now
WHERE run_id = :run_id AND status IN ('blocked', 'ready') AND (hook IS NULL OR scope <> -1);

-- name: request_cancel
UPDATE segue_steps SET cancel_requested = true
WHERE run_id = :run_id AND status IN ('running', 'sent');

-- name: hold_steps
-- In a paused run nothing may be claimed, nor in one that waits for its admission: what became ready by other ways than
-- `finish` is held, too. What waits for an event goes on waiting, nobody claims that.
UPDATE segue_steps SET gate = CASE WHEN EXISTS (
    SELECT 1 FROM segue_runs r WHERE r.id = :run_id AND r.limit_name IS NOT NULL AND r.admitted_at IS NULL
    AND r.intent IS NULL AND r.outcome IS NULL) THEN 'admission' ELSE 'paused' END
WHERE run_id = :run_id AND status = 'ready' AND (gate IS NULL OR gate IN ('timer', 'limit'));

-- name: count_busy
-- Of a run that is being ended: the steps that still have to be heard of.
SELECT count(*) FROM segue_steps
WHERE run_id = :run_id AND status IN ('running', 'sent');

-- name: hook_scope
SELECT hook, scope FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: run_outcome
SELECT workflow, outcome, error, result_expr FROM segue_runs WHERE id = :run_id;

-- name: scope_outcome
SELECT name, outcome, error, result_expr FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- Workers ----------------------------------------------------------------------------------------------------------

-- name: insert_worker
INSERT INTO segue_workers
    (id, name, queues, tasks, pool, concurrency, version, status, started_at, heartbeat_at, lease_until)
VALUES (:id, :name, :queues, :tasks, :pool, :concurrency, :version, 'running', :now, :now, :lease_until);

-- name: heartbeat
-- No row back: this worker was declared lost, and its steps are no longer its own.
UPDATE segue_workers SET heartbeat_at = :now, lease_until = :lease_until, status = :status, sleeping = :sleeping
WHERE id = :worker_id AND status IN ('running', 'stopping')
RETURNING id;

-- name: stop_worker
UPDATE segue_workers SET status = 'stopped', sleeping = false, lease_until = :now
WHERE id = :worker_id AND status <> 'lost';

-- name: cancel_requests
SELECT run_id, step, attempt FROM segue_steps
WHERE status = 'running' AND worker_id = :worker_id AND cancel_requested;

-- name: steps_of_worker
SELECT run_id, step, attempt FROM segue_steps WHERE status = 'running' AND worker_id = :worker_id;

-- name: lose_workers
UPDATE segue_workers SET status = 'lost', sleeping = false
WHERE status IN ('running', 'stopping') AND lease_until < :now
RETURNING id, name;

-- name: lost_steps
-- Asked of the steps, not of the workers that were just declared lost: so a step whose rescuer died before it committed,
-- or that a worker claimed after it had been declared lost, is found the next time.
SELECT s.run_id, s.step, s.attempt, w.name FROM segue_steps s LEFT JOIN segue_workers w ON w.id = s.worker_id
WHERE s.status = 'running' AND (w.id IS NULL OR w.status IN ('lost', 'stopped'))
ORDER BY s.run_id, s.step LIMIT :limit;

-- name: next_timer
SELECT min(ready_at) FROM segue_steps WHERE status = 'ready' AND gate = 'timer';

-- Looking ----------------------------------------------------------------------------------------------------------

-- name: run_status
SELECT status FROM segue_runs WHERE id = :run_id;

-- name: runs_like
SELECT id FROM segue_runs WHERE id >= :low AND id <= :high ORDER BY id LIMIT 3;

-- name: count_steps
SELECT status, count(*) FROM segue_steps WHERE run_id = :run_id AND NOT (is_join AND task IS NULL) GROUP BY status;

-- name: list_steps
SELECT s.step, s.scope, s.name, s.task, s.is_join, s.status, s.gate, s.queue, s.priority, s.ready_at, s.attempt, s.failures,
    s.losses, s.rule, s.waiting_on, s.children, s.hook, s.error, s.policy, s.worker_id, s.started_at, s.finished_at, s.seconds,
    p.done, p.total, p.message, p.started_at, p.updated_at, w.name, w.lease_until, w.status, s.cancel_requested,
    s.metadata, s.event
FROM segue_steps s
LEFT JOIN segue_progress p ON p.run_id = s.run_id AND p.step = s.step AND p.attempt = s.attempt
LEFT JOIN segue_workers w ON w.id = s.worker_id
WHERE s.run_id = :run_id AND s.step > :after AND (CAST(:status AS text) IS NULL OR s.status = :status)
AND (CAST(:name AS text) IS NULL OR s.name = :name)
ORDER BY s.step LIMIT :limit;

-- name: list_attempts
SELECT step, attempt, status, worker, started_at, finished_at, error, output FROM segue_attempts
WHERE run_id = :run_id AND (CAST(:step AS integer) IS NULL OR step = :step) ORDER BY step, attempt;

-- name: list_workers
SELECT id, name, queues, tasks, pool, concurrency, version, status, sleeping, started_at, heartbeat_at, lease_until
FROM segue_workers WHERE status IN ('running', 'stopping') ORDER BY started_at;

-- name: parents_of
SELECT s.step, s.name, s.status FROM segue_steps s
WHERE s.run_id = :run_id AND s.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled')
AND s.step IN (SELECT c.step FROM segue_children c WHERE c.run_id = :run_id AND c.child = :step)
ORDER BY s.step LIMIT :limit;

-- Pruning ----------------------------------------------------------------------------------------------------------

-- name: prunable_runs
-- Ids are ordered by time, so the oldest come first and the walk stops at the horizon.
SELECT id FROM segue_runs
WHERE id < :horizon AND status IN ('succeeded', 'failed', 'cancelled') AND finished_at < :before ORDER BY id LIMIT :limit;

-- name: prune_workers
DELETE FROM segue_workers WHERE status IN ('stopped', 'lost') AND heartbeat_at < :before
AND NOT EXISTS (SELECT 1 FROM segue_steps s WHERE s.status = 'running' AND s.worker_id = segue_workers.id);

-- Invariants: each statement lists the rows that break one; `segue db check` runs them --------------------------------

-- name: check_run_ended_early
SELECT r.id, 'the run is final but a step of it is not' FROM segue_runs r
WHERE r.status IN ('succeeded', 'failed', 'cancelled') AND EXISTS (
    SELECT 1 FROM segue_steps s WHERE s.run_id = r.id
    AND s.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled'));

-- name: check_run_never_ends
SELECT r.id, 'every step of the run is final but the run is not' FROM segue_runs r
WHERE r.status NOT IN ('succeeded', 'failed', 'cancelled') AND NOT EXISTS (
    SELECT 1 FROM segue_bundles b WHERE b.run_id = r.id) AND NOT EXISTS (
    SELECT 1 FROM segue_steps s WHERE s.run_id = r.id
    AND s.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled'));

-- name: check_run_waiting_on
SELECT r.id, 'waiting_on of the run does not count its last steps' FROM segue_runs r
WHERE r.status NOT IN ('succeeded', 'failed', 'cancelled') AND r.intent IS NULL AND r.outcome IS NULL AND r.waiting_on <> (
    SELECT count(*) FROM segue_steps s JOIN segue_children c ON c.run_id = s.run_id AND c.step = s.step
    WHERE s.run_id = r.id AND c.child = -1 AND s.hook IS NULL
    AND s.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled'));

-- name: check_step_waiting_on
-- From the edges to the steps that they lead to: a run may have any number of both, and there is no index by child.
SELECT run_id, 'waiting_on of step ' || child || ' does not count its parents' FROM (
    SELECT e.run_id, e.child, sum(e.is_open) AS found, (
        SELECT s.waiting_on FROM segue_steps s WHERE s.run_id = e.run_id AND s.step = e.child
        AND s.status = 'blocked' AND s.hook IS NULL AND s.outcome IS NULL) AS told
    FROM (
        SELECT c.run_id, c.child, CASE WHEN p.hook IS NULL
            AND p.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled') THEN 1 ELSE 0 END AS is_open
        FROM segue_runs r JOIN segue_children c ON c.run_id = r.id
        JOIN segue_steps p ON p.run_id = c.run_id AND p.step = c.step
        WHERE r.finished_at IS NULL AND r.intent IS NULL) e
    GROUP BY e.run_id, e.child) counted
WHERE told <> found;

-- name: check_step_without_parents
SELECT r.id, 'a step of the run is blocked, and no step leads to it' FROM segue_runs r
WHERE r.finished_at IS NULL AND r.intent IS NULL
AND (r.limit_name IS NULL OR r.admitted_at IS NOT NULL)  -- before its admission nothing is passed
AND (SELECT count(*) FROM segue_steps s WHERE s.run_id = r.id AND s.status = 'blocked' AND s.hook IS NULL) <> (
    SELECT count(*) FROM (SELECT DISTINCT c.child FROM segue_children c WHERE c.run_id = r.id) d WHERE 'blocked' = (
        SELECT s.status FROM segue_steps s WHERE s.run_id = r.id AND s.step = d.child AND s.hook IS NULL));

-- name: check_blocked_for_ever
SELECT s.run_id, 'step ' || s.step || ' is blocked but waits for nothing' FROM segue_steps s
WHERE s.status = 'blocked' AND s.waiting_on <= 0 AND NOT EXISTS (  -- before its admission nothing is passed
    SELECT 1 FROM segue_runs r WHERE r.id = s.run_id AND r.limit_name IS NOT NULL AND r.admitted_at IS NULL);

-- name: check_ready_join
SELECT s.run_id, 'join ' || s.step || ' is ready; it should have been passed through' FROM segue_steps s
WHERE s.status IN ('ready', 'running') AND s.is_join;

-- name: check_step_numbers
SELECT r.id, 'the run says it has ' || (r.steps - r.discarded) || ' steps' FROM segue_runs r
WHERE r.steps - r.discarded <> (SELECT count(*) FROM segue_steps s WHERE s.run_id = r.id);

-- name: check_orphan_step
SELECT s.run_id, 'step ' || s.step || ' is of no run' FROM segue_steps s
WHERE NOT EXISTS (SELECT 1 FROM segue_runs r WHERE r.id = s.run_id);

-- name: check_run_status
SELECT r.id, 'the run has a status, an intent or an outcome that is none' FROM segue_runs r
WHERE r.status NOT IN ('pending', 'running', 'paused', 'succeeded', 'failed', 'cancelled')
OR r.intent NOT IN ('failed', 'cancelled') OR r.outcome NOT IN ('succeeded', 'failed', 'cancelled');

-- name: check_step_status
SELECT s.run_id, 'step ' || s.step || ' has the status ' || s.status || ', which is none' FROM segue_steps s
WHERE s.status NOT IN ('blocked', 'ready', 'sent', 'running', 'succeeded', 'failed', 'skipped', 'cancelled');

-- name: check_running_without_worker
SELECT s.run_id, 'step ' || s.step || ' runs on no known worker' FROM segue_steps s
WHERE s.status = 'running' AND NOT EXISTS (SELECT 1 FROM segue_workers w WHERE w.id = s.worker_id);

-- name: check_final_without_time
SELECT s.run_id, 'step ' || s.step || ' is final without a time' FROM segue_steps s
WHERE s.status IN ('succeeded', 'failed', 'skipped', 'cancelled') AND s.finished_at IS NULL;

-- name: check_gate
SELECT s.run_id, 'step ' || s.step || ' has a gate but is not ready' FROM segue_steps s
WHERE s.gate IS NOT NULL AND s.status <> 'ready';

-- name: check_failed_run
SELECT r.id, 'the run succeeded over a failure that nothing handled' FROM segue_runs r
WHERE r.status = 'succeeded' AND EXISTS (
    SELECT 1 FROM segue_steps f WHERE f.run_id = r.id AND f.scope = -1 AND f.status = 'failed' AND NOT f.may_fail
    AND NOT EXISTS (SELECT 1 FROM segue_steps h WHERE h.run_id = f.run_id
        AND h.rule IN ('any_failed', 'any_succeeded', 'handler') AND h.status = 'succeeded'));
