-- What needs a look now, each in one look at the database.

-- name: latest_failures
-- The latest first, among the last :looked_at of all namespaces.
SELECT {listed_run} FROM segue_runs r WHERE {is_failed_since} ORDER BY r.finished_at DESC, r.id DESC LIMIT :limit;

-- name: is_failed_since
-- A fragment. A range that has an end looks small to PostgreSQL, so it takes the index on times rather than that on ids.
r.error IS NOT NULL AND r.status = 'failed' AND (CAST(:prefix AS text) IS NULL OR {prefix_of_run} = :prefix)
AND r.finished_at < :failed_until AND r.finished_at >= coalesce((
    SELECT e.finished_at FROM segue_runs e WHERE e.error IS NOT NULL AND e.finished_at >= :failed_since
    ORDER BY e.finished_at DESC, e.id DESC LIMIT 1 OFFSET :looked_at), :failed_since)

-- name: installation
-- What every page says of the whole installation: who did the chores last, the queues on which steps are ready, whether
-- anything was ever started or scheduled, and two counts.
SELECT 'leader' AS what, l.name AS name, l.host AS host, l.lease_until AS until, 0 AS count FROM segue_leader l
UNION ALL SELECT 'queue', q.queue, NULL, NULL, 0 FROM ({ready_queues}) q
UNION ALL SELECT 'work', NULL, NULL, NULL, count(*) FROM (SELECT id FROM segue_runs LIMIT 1) begun
UNION ALL SELECT 'work', NULL, NULL, NULL, count(*) FROM (SELECT name FROM segue_schedules LIMIT 1) planned
UNION ALL SELECT 'failed', NULL, NULL, NULL, count(*) FROM (
    SELECT 1 FROM segue_runs r WHERE {is_failed_since} ORDER BY r.finished_at DESC, r.id DESC LIMIT :most) failures
UNION ALL SELECT 'waits', NULL, NULL, NULL, count(*) FROM (SELECT 1 {waiting_steps} ORDER BY s.run_id LIMIT :most) w
UNION ALL SELECT 'waits', NULL, NULL, NULL, count(*) FROM (SELECT 1 {waiting_tasks} ORDER BY c.run_id LIMIT :most) i;

-- name: retried_steps
-- Among the steps whose time comes next: those for whom a try has failed.
SELECT run_id, step, name, ready_at, failures FROM (
    SELECT run_id, step, name, ready_at, failures, queue FROM segue_steps
    WHERE status = 'ready' AND gate = 'timer' ORDER BY ready_at LIMIT :most) t
WHERE failures > 0 AND (CAST(:prefix AS text) IS NULL OR {prefix_of_queue} = :prefix) ORDER BY ready_at LIMIT :limit;
