-- Queues as people look at them. No count goes beyond a limit, and no queue is looked for step by step.

-- name: limited_queues
-- Skips from one queue to the next, as `ready_queues`.
WITH RECURSIVE queues(queue) AS (
    SELECT (SELECT queue FROM segue_steps WHERE gate = 'limit' AND status = 'ready' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT s.queue FROM segue_steps s WHERE s.gate = 'limit' AND s.status = 'ready' AND s.queue > q.queue
        ORDER BY s.queue LIMIT 1)
    FROM queues q WHERE q.queue IS NOT NULL
)
SELECT q.queue, (SELECT count(*) FROM (
    SELECT 1 FROM segue_steps s WHERE s.gate = 'limit' AND s.status = 'ready' AND s.queue = q.queue LIMIT :most) found) AS count
FROM queues q WHERE q.queue IS NOT NULL LIMIT :queues;

-- name: is_ready_to_claim
-- A fragment.
s.status = 'ready' AND s.gate IS NULL

-- name: is_queue_asked_for
-- A fragment.
(CAST(:prefix AS text) IS NULL OR {prefix_of_queue} = :prefix)

-- name: busy_by_queue
-- How many run, were sent, or wait for a time; of these those that become ready first.
SELECT found.what, found.queue, count(*) AS count FROM (
    SELECT 'running' AS what, running.queue FROM (SELECT queue FROM segue_steps WHERE status = 'running' LIMIT :most) running
    UNION ALL SELECT 'sent', sent.queue FROM (SELECT queue FROM segue_steps WHERE status = 'sent' LIMIT :most) sent
    UNION ALL SELECT 'delayed', delayed.queue FROM (
        SELECT queue FROM segue_steps WHERE status = 'ready' AND gate = 'timer' ORDER BY ready_at LIMIT :most) delayed
) found GROUP BY found.what, found.queue;

-- name: queues_now
-- All that is shown of queues, in one look: a kind of number, the queue that it is about, the number and a time. A worker
-- has the list of its queues, and a limit no number if it has a rate only.
SELECT 'ready' AS what, ready.queue AS name, ready.count AS count, ready.since AS since FROM ({ready_by_queues}) ready
UNION ALL SELECT 'limited', limited.queue, limited.count, NULL FROM ({limited_queues}) limited
UNION ALL SELECT busy.what, busy.queue, busy.count, NULL FROM ({busy_by_queue}) busy
UNION ALL SELECT 'limit', l.name, l.concurrency, NULL FROM segue_limits l
UNION ALL SELECT 'worker', w.queues, w.concurrency, NULL FROM segue_workers w
WHERE w.status IN ('running', 'stopping') AND w.status = 'running' AND w.lease_until >= :now;

-- name: queues_and_live_runs_now
{queues_now}
UNION ALL SELECT 'live run', live.status, live.count, NULL FROM ({live_runs_by_status}) live;

-- name: workflow_names
-- Skips from one workflow to the next, so the number of runs does not matter. `last` is the newest run of each.
WITH RECURSIVE names(workflow) AS (
    SELECT (SELECT r.workflow FROM segue_runs r WHERE r.workflow > :after ORDER BY r.workflow LIMIT 1)
    UNION ALL
    SELECT (SELECT r.workflow FROM segue_runs r WHERE r.workflow > n.workflow ORDER BY r.workflow LIMIT 1)
    FROM names n WHERE n.workflow IS NOT NULL
)
SELECT n.workflow, (SELECT r.id FROM segue_runs r WHERE r.workflow = n.workflow ORDER BY r.id DESC LIMIT 1)
FROM names n WHERE n.workflow IS NOT NULL LIMIT :limit;
