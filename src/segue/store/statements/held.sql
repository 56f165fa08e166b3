-- Who holds what now: the steps of a worker and of a queue, and the keys of a limit of runs. Every look ends at a limit.

-- name: held_columns
-- A fragment.
s.run_id, r.workflow, s.step, s.name, s.task, s.queue, s.attempt, s.ready_at, s.started_at, w.id, w.name, s.lane

-- name: held_by_worker
SELECT {held_columns} FROM (
    SELECT {held_fields} FROM segue_steps WHERE status = 'running' AND worker_id = :worker_id ORDER BY started_at, run_id, step LIMIT :limit) s
{run_and_worker} ORDER BY s.started_at, s.run_id, s.step;

-- name: held_fields
-- A fragment.
run_id, step, name, task, queue, attempt, ready_at, started_at, worker_id, lane

-- name: run_and_worker
-- A fragment: joined to the few steps that are shown, not to all that are sorted.
JOIN segue_runs r ON r.id = s.run_id LEFT JOIN segue_workers w ON {is_worker_of_step}

-- name: held_by_workers
SELECT found.worker_id, count(*) FROM (SELECT worker_id FROM segue_steps WHERE status = 'running' LIMIT :limit) found
GROUP BY found.worker_id;

-- name: held_on_queue
SELECT {held_columns} FROM (
    SELECT {held_fields} FROM segue_steps WHERE status = 'running' AND queue = :queue ORDER BY started_at, run_id, step LIMIT :limit) s
{run_and_worker} ORDER BY s.started_at, s.run_id, s.step;

-- name: next_on_queue
-- In the order of claims.
SELECT {held_columns} FROM segue_steps s {run_and_worker}
WHERE s.status = 'ready' AND s.gate IS NULL AND s.queue = :queue
ORDER BY {by_priority}, s.ready_at, s.run_id, s.step LIMIT :limit;

-- name: held_longest
SELECT {held_columns} FROM (
    SELECT {held_fields} FROM segue_steps WHERE status = 'running' ORDER BY started_at, run_id, step LIMIT :limit) s
{run_and_worker} ORDER BY s.started_at, s.run_id, s.step;

-- name: keys_of_run_limit
-- One half after the other, as each has its index.
SELECT a.limit_key, count(*), 0 FROM (
    SELECT limit_key FROM segue_runs WHERE limit_name = :name AND limit_name IS NOT NULL AND finished_at IS NULL
    AND admitted_at IS NOT NULL LIMIT :limit) a GROUP BY a.limit_key
UNION ALL SELECT w.limit_key, 0, count(*) FROM (
    SELECT limit_key FROM segue_runs WHERE limit_name = :name AND limit_name IS NOT NULL AND finished_at IS NULL
    AND admitted_at IS NULL LIMIT :limit) w GROUP BY w.limit_key;

-- name: runs_holding_limit
SELECT id FROM segue_runs
WHERE limit_name = :name AND limit_name IS NOT NULL AND finished_at IS NULL AND admitted_at IS NOT NULL
ORDER BY admitted_at LIMIT :limit;
