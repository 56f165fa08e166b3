-- Steps of executors: what differs on PostgreSQL.

-- name: send_ready
-- Like `claim`, it skips steps that another transaction holds.
WITH picked AS (
    SELECT run_id, step FROM segue_steps
    WHERE status = 'ready' AND gate IS NULL AND executor IS NOT NULL AND {is_outside}
    ORDER BY queue COLLATE "C", (-priority), ready_at, run_id, step LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE segue_steps s SET {are_sent} FROM picked p WHERE s.run_id = p.run_id AND s.step = p.step
RETURNING {sent_columns};

-- name: is_outside
-- In the order of bytes, as names of queues are, whatever the collation of the database.
queue COLLATE "C" >= :low AND queue COLLATE "C" < :high;

-- name: lanes_to_send
-- Skips through the index from lane to lane, in all queues of one executor. Each comes with its first step.
WITH RECURSIVE lanes AS (
    (SELECT queue, lane, priority, ready_at FROM segue_steps
    WHERE status = 'ready' AND gate = 'limit' AND executor IS NOT NULL AND {is_outside}
    AND (queue COLLATE "C", lane COLLATE "C") > (:after_queue::text, :after_lane::text)
    ORDER BY queue COLLATE "C", lane COLLATE "C", (-priority), ready_at LIMIT 1)
    UNION ALL
    SELECT n.queue, n.lane, n.priority, n.ready_at FROM lanes l CROSS JOIN LATERAL (
        SELECT s.queue, s.lane, s.priority, s.ready_at FROM segue_steps s
        WHERE s.status = 'ready' AND s.gate = 'limit' AND s.executor IS NOT NULL AND s.queue COLLATE "C" < :high
        AND (s.queue COLLATE "C", s.lane COLLATE "C") > (l.queue, l.lane)
        ORDER BY s.queue COLLATE "C", s.lane COLLATE "C", (-s.priority), s.ready_at LIMIT 1) n
)
SELECT queue, lane, priority, ready_at FROM lanes LIMIT :limit;

-- name: queues_to_send
-- The queues of one executor in which steps without a lane wait: skips from one to the next.
WITH RECURSIVE queues(queue) AS (
    SELECT min(queue COLLATE "C") FROM segue_steps
    WHERE status = 'ready' AND gate IS NULL AND executor IS NOT NULL AND {is_outside}
    UNION ALL
    SELECT (SELECT min(s.queue COLLATE "C") FROM segue_steps s WHERE s.status = 'ready' AND s.gate IS NULL
        AND s.executor IS NOT NULL AND s.queue COLLATE "C" > q.queue AND s.queue COLLATE "C" < :high)
    FROM queues q WHERE q.queue IS NOT NULL
)
SELECT queue FROM queues WHERE queue IS NOT NULL;

-- name: peek_to_send
-- What would be sent of a queue's steps without lanes: of one task, or of all but some.
SELECT priority, ready_at FROM segue_steps
WHERE status = 'ready' AND gate IS NULL AND executor IS NOT NULL AND queue COLLATE "C" = :queue
AND (:only::text IS NULL OR task = :only) AND task <> ALL(:but::text[])
ORDER BY (-priority), ready_at, run_id, step LIMIT :limit;

-- name: send_queue
WITH picked AS (
    SELECT run_id, step FROM segue_steps
    WHERE status = 'ready' AND gate IS NULL AND executor IS NOT NULL AND queue COLLATE "C" = :queue
    AND (:only::text IS NULL OR task = :only) AND task <> ALL(:but::text[])
    ORDER BY (-priority), ready_at, run_id, step LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE segue_steps s SET {are_sent} FROM picked p WHERE s.run_id = p.run_id AND s.step = p.step
RETURNING {sent_columns};

-- name: send_lane
-- Of one priority: later entries of the lane must first be compared with other lanes.
WITH picked AS (
    SELECT run_id, step FROM segue_steps
    WHERE status = 'ready' AND gate = 'limit' AND executor IS NOT NULL AND queue COLLATE "C" = :queue
    AND lane COLLATE "C" = :lane AND (-priority) = :rank::integer
    ORDER BY ready_at, run_id, step LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE segue_steps s SET gate = NULL, {are_sent} FROM picked p WHERE s.run_id = p.run_id AND s.step = p.step
RETURNING {sent_columns};

-- name: are_sent
status = 'sent', attempt = s.attempt + 1, fenced = :fenced, sent_at = :now, sent_until = :sent_until, started_at = NULL,
worker_id = NULL, cancel_requested = false;

-- name: sent_columns
s.run_id, s.step, s.attempt, s.name, s.task, s.args, s.holes, s.when_expr, s.policy, s.failures, s.priority, s.ready_at,
s.queue, s.spec, s.handle;
