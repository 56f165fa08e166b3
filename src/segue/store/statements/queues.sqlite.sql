-- Queues as people look at them: what differs on SQLite.

-- name: each_name
-- A fragment.
(SELECT value AS name FROM json_each(:names)) n

-- name: by_priority
-- A fragment: as the index has it.
s.priority DESC

-- name: ready_by_queues
-- Of each of these queues: how many are ready, and since when the oldest is. One look for each priority: in the order of
-- the claim, the oldest step may stand behind a million of higher priority.
WITH RECURSIVE ranks(queue, rank) AS (
    SELECT n.name, (SELECT s.priority FROM segue_steps s WHERE {is_ready_to_claim} AND s.queue = n.name ORDER BY s.priority DESC LIMIT 1)
    FROM {each_name}
    UNION ALL
    SELECT k.queue, (SELECT s.priority FROM segue_steps s
        WHERE {is_ready_to_claim} AND s.queue = k.queue AND s.priority < k.rank ORDER BY s.priority DESC LIMIT 1)
    FROM ranks k WHERE k.rank IS NOT NULL
)
SELECT k.queue, (SELECT count(*) FROM (
    SELECT 1 FROM segue_steps s WHERE {is_ready_to_claim} AND s.queue = k.queue LIMIT :limit) found),
    min((SELECT s.ready_at FROM segue_steps s WHERE {is_ready_to_claim} AND s.queue = k.queue AND s.priority = k.rank
        ORDER BY s.ready_at LIMIT 1))
FROM ranks k WHERE k.rank IS NOT NULL GROUP BY k.queue;
