-- What needs a look now.

-- name: retried_steps
-- Among the steps whose time comes next: those for whom a try has failed.
SELECT t.run_id, t.step, t.name, t.ready_at, t.failures, t.queue FROM (
    SELECT run_id, step, name, ready_at, failures, queue FROM segue_steps
    WHERE status = 'ready' AND gate = 'timer' ORDER BY ready_at LIMIT :most) t
WHERE t.failures > 0 ORDER BY t.ready_at LIMIT :limit;
