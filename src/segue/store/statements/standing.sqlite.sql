-- name: oldest_ready
-- Skips from one priority to the next: within each, the first is the oldest.
WITH RECURSIVE ranks(priority) AS (
    SELECT max(priority) FROM segue_steps WHERE status = 'ready' AND gate IS NULL AND queue = :queue
    UNION ALL
    SELECT (SELECT max(s.priority) FROM segue_steps s
        WHERE s.status = 'ready' AND s.gate IS NULL AND s.queue = :queue AND s.priority < r.priority)
    FROM ranks r WHERE r.priority IS NOT NULL
)
SELECT min((SELECT min(s.ready_at) FROM segue_steps s
    WHERE s.status = 'ready' AND s.gate IS NULL AND s.queue = :queue AND s.priority = r.priority))
FROM ranks r WHERE r.priority IS NOT NULL;

-- name: ends_of_runs
-- Of those that have ended.
SELECT id, workflow, status, started_at, finished_at FROM segue_runs
WHERE finished_at IS NOT NULL AND id IN (SELECT value FROM json_each(:ids));
