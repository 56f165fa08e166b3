-- Looking at runs, steps and attempts.

-- name: run_status
SELECT status FROM segue_runs WHERE id = :run_id;

-- name: runs_like
SELECT r.id FROM segue_runs r WHERE r.id >= :low AND r.id <= :high AND (CAST(:prefix AS text) IS NULL OR {prefix_of_run} = :prefix) ORDER BY r.id LIMIT :limit;

-- name: runs_ending
-- Not in order, and all of them: there are hardly ever two. Sorted by id, PostgreSQL might read all runs in that order.
SELECT r.id FROM segue_runs r WHERE {end_of_id} = :ending AND (CAST(:prefix AS text) IS NULL OR {prefix_of_run} = :prefix);

-- name: count_steps
SELECT status, count(*) FROM segue_steps WHERE run_id = :run_id AND NOT (is_join AND task IS NULL) GROUP BY status;

-- name: list_steps
SELECT {step_columns}
WHERE s.run_id = :run_id AND s.step > :after AND (CAST(:status AS text) IS NULL OR s.status = :status)
AND (CAST(:name AS text) IS NULL OR s.name = :name)
ORDER BY s.step LIMIT :limit;

-- name: active_steps
-- The first steps that run, were sent, are ready or failed, of each from a given number on. One part for each status: as
-- one condition, all steps of the run would be read.
SELECT * FROM (SELECT s.lane, {step_columns}
    WHERE s.run_id = :run_id AND s.status = 'running' AND s.step >= :running ORDER BY s.step LIMIT :limit) AS running
UNION ALL
SELECT * FROM (SELECT s.lane, {step_columns}
    WHERE s.run_id = :run_id AND s.status = 'sent' AND s.step >= :sent ORDER BY s.step LIMIT :limit) AS sent
UNION ALL
SELECT * FROM (SELECT s.lane, {step_columns}
    WHERE s.run_id = :run_id AND s.status = 'ready' AND s.step >= :ready ORDER BY s.step LIMIT :limit) AS ready
UNION ALL
SELECT * FROM (SELECT s.lane, {step_columns}
    WHERE s.run_id = :run_id AND s.status = 'failed' AND s.step >= :failed ORDER BY s.step LIMIT :most_failed) AS failed;

-- name: step_with_values
SELECT s.args, s.holes, s.result, {step_columns} WHERE s.run_id = :run_id AND s.step = :step;

-- name: step_columns
-- What is shown of a step, and the tables that have it.
s.step, s.scope, s.name, s.task, s.is_join, s.status, s.gate, s.queue, s.priority, s.ready_at, s.attempt, s.failures,
    s.losses, s.rule, s.waiting_on, s.children, s.hook, s.error, s.policy, s.worker_id, s.started_at, s.finished_at, s.seconds,
    p.done, p.total, p.message, p.started_at, p.updated_at, w.name, w.lease_until, w.status, s.cancel_requested,
    s.metadata, s.event, s.executor, s.handle, s.sent_at, s.sent_until
FROM segue_steps s
LEFT JOIN segue_progress p ON p.run_id = s.run_id AND p.step = s.step AND p.attempt = s.attempt
LEFT JOIN segue_workers w ON {is_worker_of_step};

-- name: list_attempts
SELECT step, attempt, status, worker, started_at, finished_at, error, output FROM segue_attempts
WHERE run_id = :run_id AND (CAST(:step AS integer) IS NULL OR step = :step) ORDER BY step, attempt;

-- name: parents_of
-- Those that have not ended. Edges are stored with their source: this passes over the rows of the run until it has some.
SELECT s.step, s.name, s.status FROM segue_steps s
WHERE s.run_id = :run_id AND s.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled') AND {is_awaited}
ORDER BY s.step LIMIT :limit;

-- name: ready_queues
WITH RECURSIVE queues(queue) AS ({each_ready_queue})
SELECT queue FROM queues WHERE queue IS NOT NULL LIMIT :limit;

-- name: each_ready_queue
-- A fragment: skips from one queue to the next, so the number of steps does not matter.
SELECT (SELECT queue FROM segue_steps WHERE status = 'ready' AND gate IS NULL ORDER BY queue LIMIT 1)
UNION ALL
SELECT (SELECT s.queue FROM segue_steps s WHERE s.status = 'ready' AND s.gate IS NULL AND s.queue > q.queue
    ORDER BY s.queue LIMIT 1)
FROM queues q WHERE q.queue IS NOT NULL

-- name: queues_of_steps
SELECT DISTINCT queue FROM segue_steps ORDER BY queue;
