-- Steps of executors: sent, begun, called back, sent again. The caller holds the lock of the run.

-- name: send_step
-- Only what a claim would take as well: a step that has a lane is claimed, with its places.
UPDATE segue_steps SET status = 'sent', attempt = :attempt, executor = :executor, handle = CAST(:handle AS text),
    fenced = :fenced, sent_at = :now, sent_until = :sent_until, started_at = NULL, worker_id = NULL, cancel_requested = false
WHERE run_id = :run_id AND step = :step AND status = 'ready' AND gate IS NULL AND task IS NOT NULL RETURNING attempt;

-- name: resend_step
UPDATE segue_steps SET attempt = :next_attempt, handle = coalesce(CAST(:handle AS text), handle), sent_at = :now,
    sent_until = :sent_until
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_sent} RETURNING attempt;

-- name: renew_sent
UPDATE segue_steps SET sent_until = :sent_until
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_sent} RETURNING attempt;

-- name: change_step
-- The executor's own retry may have other arguments. They include the values that filled the holes.
UPDATE segue_steps SET args = :args, holes = NULL, spec = :spec WHERE run_id = :run_id AND step = :step;

-- name: change_spec
-- The executor's own retry has the same arguments and may have other options.
UPDATE segue_steps SET spec = :spec WHERE run_id = :run_id AND step = :step;

-- name: begin_step
UPDATE segue_steps SET status = 'running', worker_id = :worker_id, started_at = :now, sent_until = NULL
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_sent} RETURNING attempt;

-- name: begin_plainly
-- In a run that has begun and is neither paused nor being ended. Pauses and cancels change the step's row themselves.
UPDATE segue_steps SET status = 'running', worker_id = :worker_id, started_at = :now, sent_until = NULL
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_sent} AND EXISTS (
    SELECT 1 FROM segue_runs r WHERE r.id = :run_id AND r.status = 'running' AND r.intent IS NULL AND r.outcome IS NULL)
RETURNING attempt;

-- name: is_begun_by
-- Whether the answer to a begin was lost, so that the same process asks again.
SELECT 1 FROM segue_steps
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_running} AND worker_id = :worker_id;

-- name: requeue_as_sent
-- The executor's broker holds back the next try, which has already been sent.
UPDATE segue_steps SET status = 'sent', attempt = :next_attempt, failures = :failures, error = :error, worker_id = NULL,
    started_at = NULL, sent_at = :now, sent_until = :sent_until
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_live};

-- name: overdue_steps
-- Sent, and not begun in time: their messages may be lost, or were never sent. In queues whose stored names begin with
-- `prefix`: those of one namespace.
SELECT run_id, step, attempt, handle, sent_at, sent_until, queue FROM segue_steps
WHERE status = 'sent' AND executor = :executor AND sent_until <= :now AND {is_in_its_queues} ORDER BY sent_until, run_id, step LIMIT :limit;

-- name: sent_step
-- What is needed to send its message again.
SELECT run_id, step, attempt, name, task, args, holes, NULL, policy, failures, priority, ready_at, queue, spec, handle
FROM segue_steps WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND status = 'sent';

-- name: hasten_sent_with
-- What was sent in the transaction that ended this attempt: its process died, perhaps before it sent the messages.
UPDATE segue_steps SET sent_until = :due WHERE status = 'sent' AND executor = :executor AND sent_until > :due AND sent_at = (
    SELECT finished_at FROM segue_steps WHERE run_id = :run_id AND step = :step AND attempt = :attempt);

-- name: next_overdue
SELECT min(sent_until) FROM segue_steps WHERE status = 'sent' AND executor = :executor;

-- name: check_sent_step
SELECT s.run_id, 'step ' || s.step || ' was sent without an executor or a time limit' FROM segue_steps s
WHERE s.status = 'sent' AND (s.executor IS NULL OR s.sent_until IS NULL);

-- name: sent_by_queue
-- How many steps are sent and have not begun. `limit` bounds the work, where very many are.
SELECT queue, count(*) FROM (
    SELECT queue FROM segue_steps WHERE status = 'sent' AND executor = :executor LIMIT :limit
) sent GROUP BY queue;

-- name: sent_last
-- When the step was sent before which so many of its queue were sent later.
SELECT sent_at FROM segue_steps WHERE status = 'sent' AND executor = :executor AND queue = :queue
ORDER BY sent_at DESC LIMIT 1 OFFSET :before;

-- name: places_of_executor
-- The processes that begin steps of an executor, and how many at once. Worded so that the index of live workers fits.
SELECT count(*), coalesce(sum(concurrency), 0) FROM segue_workers
WHERE pool = :executor AND status IN ('running', 'stopping') AND status = 'running' AND lease_until > :now;

-- name: steps_to_follow
-- What is at an executor whose processes do not reach the database. No worker's lease covers what runs there.
SELECT run_id, step, attempt, handle, status, cancel_requested FROM segue_steps
WHERE status = 'sent' AND executor = :executor
UNION ALL SELECT run_id, step, attempt, handle, status, cancel_requested FROM segue_steps
WHERE status = 'running' AND worker_id IS NULL AND executor = :executor;

-- name: limits_that_may_bind
-- Limits of queues, and of tasks whose code does not name them.
SELECT name FROM segue_limits WHERE NOT in_code;

-- name: unmirrored_steps
-- Whose ends their executor does not know. It does not know a step without a handle.
SELECT run_id, step, handle, status, spec FROM segue_steps
WHERE executor = :executor AND status IN ('skipped', 'cancelled') AND mirrored_at IS NULL
AND handle IS NOT NULL AND {is_in_its_queues} LIMIT :limit;

-- name: is_in_its_queues
substr(queue, 1, length(CAST(:prefix AS text))) = CAST(:prefix AS text);

-- name: steps_in_vain
-- The steps among which is the reason why other steps of the run were skipped.
SELECT step, status, handle, children, error FROM segue_steps
WHERE run_id = :run_id AND status IN ('failed', 'skipped', 'cancelled');

-- name: note_mirrored
UPDATE segue_steps SET mirrored_at = :now WHERE run_id = :run_id AND step = :step AND status = :status;

-- name: halted_runs
-- Runs in which no step may begin, and whether finalizers may.
SELECT id, has_hooks AND NOT is_paused FROM segue_runs WHERE finished_at IS NULL AND (is_paused OR intent IS NOT NULL);

-- Halts: what the processes of an executor know of runs in which no step may begin -----------------------------------

-- name: executors_to_halt
-- Those that were sent steps of the run. Also one that asks before it begins them: its question may be under way.
SELECT DISTINCT executor FROM segue_steps WHERE run_id = :run_id AND {is_sent} AND executor IS NOT NULL;

-- name: raise_halt
INSERT INTO segue_halts (executor, epoch) VALUES (:executor, 1)
ON CONFLICT (executor) DO UPDATE SET epoch = segue_halts.epoch + 1;

-- name: halt_epoch
SELECT epoch FROM segue_halts WHERE executor = :executor;

-- name: acknowledge_halts
UPDATE segue_workers SET halts_seen = :epoch WHERE id = :worker_id;

-- name: unanswered_halts
-- Processes that may still begin what was sent of a run.
SELECT w.name, w.heartbeat_at FROM segue_halts h JOIN segue_workers w ON w.pool = h.executor
WHERE h.executor IN (SELECT executor FROM segue_steps WHERE run_id = :run_id AND {is_sent})
AND w.status IN ('running', 'stopping') AND w.lease_until > :now AND w.halts_seen < h.epoch;

-- name: finalizers_at_executors
-- The exceptions: hooks of a run that is being ended, which run nevertheless.
SELECT step FROM segue_steps
WHERE run_id = :run_id AND hook IS NOT NULL AND executor IS NOT NULL
    AND status IN ('blocked', 'ready', 'sent', 'running');

-- name: step_of_executor
-- What a task sees of a step behind its own.
SELECT task, args, holes, spec, handle, children FROM segue_steps WHERE run_id = :run_id AND step = :step;
