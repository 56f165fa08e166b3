-- How things stand, for monitoring. Each count ends at a maximum, so that a scrape costs little however much waits.

-- name: standing
SELECT made_at, samples FROM segue_standing WHERE namespace = :namespace;

-- name: take_standing
-- One process makes the numbers; the others read those that are there.
INSERT INTO segue_standing (namespace, taken_at) VALUES (:namespace, :now)
ON CONFLICT (namespace) DO UPDATE SET taken_at = excluded.taken_at WHERE segue_standing.taken_at <= :before
RETURNING namespace;

-- name: put_standing
UPDATE segue_standing SET made_at = :now, samples = :samples WHERE namespace = :namespace;

-- name: held_steps
-- Each from the index that has only these steps.
SELECT queue, 'timer', count(*) FROM (
    SELECT queue FROM segue_steps WHERE status = 'ready' AND gate = 'timer' ORDER BY ready_at LIMIT :most) timed GROUP BY queue
UNION ALL SELECT queue, 'limit', count(*) FROM (
    SELECT queue FROM segue_steps WHERE status = 'ready' AND gate = 'limit' ORDER BY queue LIMIT :most) limited GROUP BY queue
UNION ALL SELECT queue, 'event', count(*) FROM (
    SELECT queue FROM segue_steps WHERE gate = 'event' AND status = 'ready' ORDER BY run_id LIMIT :most) awaiting GROUP BY queue
UNION ALL SELECT queue, 'running', count(*) FROM (
    SELECT queue FROM segue_steps WHERE status = 'running' ORDER BY worker_id LIMIT :most) taken GROUP BY queue
UNION ALL SELECT queue, 'sent', count(*) FROM (
    SELECT queue FROM segue_steps WHERE status = 'sent' ORDER BY executor LIMIT :most) handed GROUP BY queue;

-- name: live_runs_by_status
SELECT status, count(*) AS count FROM (
    SELECT r.status FROM segue_runs r WHERE r.finished_at IS NULL
    AND (CAST(:prefix AS text) IS NULL OR {prefix_of_run} = :prefix) ORDER BY r.id LIMIT :most) live
GROUP BY status;

-- name: workers_by_status
SELECT status, count(*) FROM segue_workers WHERE CAST(:namespace AS text) IS NULL OR namespace = :namespace GROUP BY status;

-- name: standing_of_schedules
SELECT name, due_at, problem FROM segue_schedules WHERE is_active ORDER BY name LIMIT :most;

-- name: task_of_step
SELECT task, queue FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: set_trace
UPDATE segue_runs SET trace = :trace WHERE id = :run_id;
