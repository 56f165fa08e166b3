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
SELECT queue FROM queues WHERE queue IS NOT NULL LIMIT :limit;

-- name: is_ready_on
-- A fragment.
s.status = 'ready' AND s.gate IS NULL AND s.queue = :queue

-- name: count_limited
SELECT count(*) FROM (
    SELECT 1 FROM segue_steps WHERE gate = 'limit' AND status = 'ready' AND queue = :queue LIMIT :limit) found;

-- name: running_by_queue
SELECT found.queue, count(*) FROM (SELECT queue FROM segue_steps WHERE status = 'running' LIMIT :limit) found GROUP BY found.queue;

-- name: sent_by_queues
SELECT found.queue, count(*) FROM (SELECT queue FROM segue_steps WHERE status = 'sent' LIMIT :limit) found GROUP BY found.queue;

-- name: delayed_by_queue
-- Those that become ready first.
SELECT found.queue, count(*) FROM (
    SELECT queue FROM segue_steps WHERE status = 'ready' AND gate = 'timer' ORDER BY ready_at LIMIT :limit) found
GROUP BY found.queue;

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
