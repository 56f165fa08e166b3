-- name: oldest_ready
-- Skips from one priority to the next: within each, the first is the oldest. By -priority, as the index has it.
WITH RECURSIVE ranks(rank) AS (
    SELECT min(-priority) FROM segue_steps WHERE status = 'ready' AND gate IS NULL AND queue = :queue
    UNION ALL
    SELECT (SELECT min(-s.priority) FROM segue_steps s
        WHERE s.status = 'ready' AND s.gate IS NULL AND s.queue = :queue AND (-s.priority) > r.rank)
    FROM ranks r WHERE r.rank IS NOT NULL
)
SELECT min((SELECT min(s.ready_at) FROM segue_steps s
    WHERE s.status = 'ready' AND s.gate IS NULL AND s.queue = :queue AND (-s.priority) = r.rank))
FROM ranks r WHERE r.rank IS NOT NULL;

-- name: ends_of_runs
-- Of those that have ended.
SELECT id, workflow, status, started_at, finished_at FROM segue_runs
WHERE finished_at IS NOT NULL AND id = ANY(:ids::uuid[]);
