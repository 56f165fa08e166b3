-- Workers: their rows, their leases, and what becomes of the steps of lost ones.

-- name: insert_worker
INSERT INTO segue_workers
    (id, name, queues, tasks, pool, concurrency, version, status, started_at, heartbeat_at, lease_until, code_version, namespace)
VALUES (:id, :name, :queues, :tasks, :pool, :concurrency, :version, 'running', :now, :now, :lease_until, :code_version, :namespace);

-- name: heartbeat
-- No row returned: this worker was declared lost and no longer owns its steps.
UPDATE segue_workers SET heartbeat_at = :now, lease_until = :lease_until, status = :status, sleeping = :sleeping
WHERE id = :worker_id AND status IN ('running', 'stopping')
RETURNING id;

-- name: renew_lease
-- Renews the lease outside the worker's own turns, which alone report whether it sleeps or stops. A worker that was
-- declared lost is not changed.
UPDATE segue_workers SET heartbeat_at = :now, lease_until = :lease_until
WHERE id = :worker_id AND status IN ('running', 'stopping');

-- name: lease_of_step
SELECT w.id, w.heartbeat_at, w.lease_until FROM segue_workers w
WHERE w.id = (SELECT s.worker_id FROM segue_steps s WHERE s.run_id = :run_id AND s.step = :step);

-- name: stop_worker
UPDATE segue_workers SET status = 'stopped', sleeping = false, lease_until = :now
WHERE id = :worker_id AND status <> 'lost';

-- name: cancel_requests
SELECT run_id, step, attempt FROM segue_steps
WHERE status = 'running' AND worker_id = :worker_id AND cancel_requested;

-- name: steps_of_worker
SELECT run_id, step, attempt FROM segue_steps WHERE status = 'running' AND worker_id = :worker_id;

-- name: lose_workers
UPDATE segue_workers SET status = 'lost', sleeping = false
WHERE status IN ('running', 'stopping') AND lease_until < :now
RETURNING id;

-- name: lost_steps
-- Reads the steps, not the workers that were just declared lost. So it also finds a step whose rescuer died before the
-- commit, and a step that a worker claimed after it had been declared lost.
SELECT s.run_id, s.step, s.attempt, w.name, w.id, w.status FROM segue_steps s LEFT JOIN segue_workers w ON {is_worker_of_step}
WHERE s.status = 'running' AND ({has_no_worker} OR w.status IN ('lost', 'stopped')) AND {is_in_scope}
ORDER BY s.run_id, s.step LIMIT :limit;

-- name: runs_of_lost_workers
-- The runs that `lost_steps` will find once those workers are declared lost.
SELECT DISTINCT s.run_id FROM segue_steps s LEFT JOIN segue_workers w ON {is_worker_of_step}
WHERE s.status = 'running' AND ({has_no_worker} OR w.status IN ('lost', 'stopped') OR w.lease_until < :now) AND {is_in_scope}
ORDER BY s.run_id LIMIT :limit;

-- name: has_no_worker
-- A step that runs at an executor which is polled never has a worker: its executor is asked, and no lease.
(w.id IS NULL AND (s.worker_id IS NOT NULL OR s.executor IS NULL));

-- name: list_workers
SELECT id, name, queues, tasks, pool, concurrency, version, status, sleeping, started_at, heartbeat_at, lease_until, code_version,
    namespace
FROM segue_workers WHERE status IN ('running', 'stopping') ORDER BY started_at;

-- name: list_ended_workers
-- The newest first: ids are ordered by time.
SELECT id, name, queues, tasks, pool, concurrency, version, status, sleeping, started_at, heartbeat_at, lease_until, code_version,
    namespace
FROM segue_workers WHERE status IN ('lost', 'stopped') AND status = :status AND id < :before
AND (CAST(:namespace AS text) IS NULL OR namespace = :namespace) ORDER BY id DESC LIMIT :limit;

-- name: prune_workers
-- A worker that still has steps is kept until they are rescued: their errors name it.
DELETE FROM segue_workers WHERE status IN ('stopped', 'lost') AND id IN (
    SELECT w.id FROM segue_workers w WHERE w.status IN ('stopped', 'lost') AND w.heartbeat_at < :before
    AND 0 = (SELECT count(*) FROM segue_steps s WHERE s.status = 'running' AND s.worker_id = w.id) LIMIT :limit)
RETURNING id;
