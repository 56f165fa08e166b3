-- Queues as people look at them: what differs on PostgreSQL, whose index has the priorities the other way round.

-- name: by_priority
-- A fragment: as the index has it.
(-s.priority)

-- name: ready_by_queues
-- Of each queue on which steps are ready: how many, and since when the oldest is. One look for each priority: in the order
-- of the claim, the oldest step may stand behind a million of higher priority.
WITH RECURSIVE queues(queue) AS ({each_ready_queue}), ranks(queue, rank) AS (
    SELECT n.queue, (SELECT -s.priority FROM segue_steps s WHERE {is_ready_to_claim} AND s.queue = n.queue ORDER BY -s.priority LIMIT 1)
    FROM (SELECT queue FROM queues WHERE queue IS NOT NULL AND {is_queue_asked_for} LIMIT :queues) n
    UNION ALL
    SELECT k.queue, (SELECT -s.priority FROM segue_steps s
        WHERE {is_ready_to_claim} AND s.queue = k.queue AND -s.priority > k.rank ORDER BY -s.priority LIMIT 1)
    FROM ranks k WHERE k.rank IS NOT NULL
)
SELECT k.queue, (SELECT count(*) FROM (
    SELECT 1 FROM segue_steps s WHERE {is_ready_to_claim} AND s.queue = k.queue LIMIT :most) found) AS count,
    min((SELECT s.ready_at FROM segue_steps s WHERE {is_ready_to_claim} AND s.queue = k.queue AND -s.priority = k.rank
        ORDER BY s.ready_at LIMIT 1)) AS since
FROM ranks k WHERE k.rank IS NOT NULL GROUP BY k.queue;
