-- Queues as people look at them: what differs on SQLite.

-- name: oldest_ready
-- One look for each priority: in the order of the claim, the oldest step may stand behind a million of higher priority.
WITH RECURSIVE ranks(rank) AS (
    SELECT (SELECT s.priority FROM segue_steps s WHERE {is_ready_on} ORDER BY s.priority DESC LIMIT 1)
    UNION ALL
    SELECT (SELECT s.priority FROM segue_steps s WHERE {is_ready_on} AND s.priority < k.rank ORDER BY s.priority DESC LIMIT 1)
    FROM ranks k WHERE k.rank IS NOT NULL
)
SELECT min(o.ready_at) FROM (
    SELECT (SELECT s.ready_at FROM segue_steps s WHERE {is_ready_on} AND s.priority = k.rank ORDER BY s.ready_at LIMIT 1) AS ready_at
    FROM ranks k WHERE k.rank IS NOT NULL) o;
