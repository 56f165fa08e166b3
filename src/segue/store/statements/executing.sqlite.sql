-- Steps of executors: what differs on SQLite.

-- name: send_ready
-- Sends from the queues between `low` and `high`, which belong to one executor. As a claim, it locks no run.
UPDATE segue_steps SET {are_sent}
WHERE rowid IN (
    SELECT rowid FROM segue_steps WHERE status = 'ready' AND gate IS NULL AND {is_outside}
    ORDER BY queue, priority DESC, ready_at, run_id, step LIMIT :limit)
RETURNING {sent_columns};

-- name: is_outside
queue >= :low AND queue < :high;

-- name: lanes_to_send
-- Skips through the index from lane to lane, in all queues of one executor. Each comes with its first step.
WITH RECURSIVE lanes(place) AS (
    SELECT (SELECT rowid FROM segue_steps INDEXED BY segue_steps_limited
        WHERE status = 'ready' AND gate = 'limit' AND {is_outside} AND (queue, lane) > (:after_queue, :after_lane)
        ORDER BY queue, lane, priority DESC, ready_at LIMIT 1)
    UNION ALL
    SELECT (SELECT s.rowid FROM segue_steps s INDEXED BY segue_steps_limited
        WHERE s.status = 'ready' AND s.gate = 'limit' AND s.queue < :high AND (s.queue, s.lane) > (h.queue, h.lane)
        ORDER BY s.queue, s.lane, s.priority DESC, s.ready_at LIMIT 1)
    FROM lanes l JOIN segue_steps h ON h.rowid = l.place LIMIT :limit
)
SELECT h.queue, h.lane, h.priority, h.ready_at FROM lanes l JOIN segue_steps h ON h.rowid = l.place;

-- name: queues_to_send
-- The queues of one executor in which steps without a lane wait: skips from one to the next.
WITH RECURSIVE queues(queue) AS (
    SELECT (SELECT queue FROM segue_steps INDEXED BY segue_steps_ready
        WHERE status = 'ready' AND gate IS NULL AND {is_outside} ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT s.queue FROM segue_steps s INDEXED BY segue_steps_ready
        WHERE s.status = 'ready' AND s.gate IS NULL AND s.queue > q.queue AND s.queue < :high ORDER BY s.queue LIMIT 1)
    FROM queues q WHERE q.queue IS NOT NULL
)
SELECT queue FROM queues WHERE queue IS NOT NULL;

-- name: peek_to_send
-- What would be sent of a queue's steps without lanes: of one task, or of all but some.
SELECT priority, ready_at FROM segue_steps
WHERE status = 'ready' AND gate IS NULL AND queue = :queue
AND (:only IS NULL OR task = :only) AND task NOT IN (SELECT value FROM json_each(:but))
ORDER BY priority DESC, ready_at, run_id, step LIMIT :limit;

-- name: send_queue
UPDATE segue_steps SET {are_sent}
WHERE rowid IN (
    SELECT rowid FROM segue_steps WHERE status = 'ready' AND gate IS NULL AND queue = :queue
    AND (:only IS NULL OR task = :only) AND task NOT IN (SELECT value FROM json_each(:but))
    ORDER BY priority DESC, ready_at, run_id, step LIMIT :limit)
RETURNING {sent_columns};

-- name: send_lane
-- Of one priority: later entries of the lane must first be compared with other lanes.
UPDATE segue_steps SET gate = NULL, {are_sent}
WHERE rowid IN (
    SELECT rowid FROM segue_steps INDEXED BY segue_steps_limited
    WHERE status = 'ready' AND gate = 'limit' AND queue = :queue AND lane = :lane AND priority = -:rank
    ORDER BY ready_at, run_id, step LIMIT :limit)
RETURNING {sent_columns};

-- name: are_sent
status = 'sent', attempt = attempt + 1, fenced = :fenced, sent_at = :now, sent_until = :sent_until, started_at = NULL,
worker_id = NULL, cancel_requested = false;

-- name: sent_columns
run_id, step, attempt, name, task, args, holes, when_expr, policy, failures, priority, ready_at, queue, spec, handle;
