-- Which runs a chore covers: one, or all except some.

-- name: wait_shortly
-- SQLite has a single lock, which a transaction holds from its beginning.
SELECT 1 WHERE false;

-- name: is_in_scope
(:only IS NULL OR run_id = :only) AND run_id NOT IN (SELECT value FROM json_each(:aside));

-- name: is_step_of_run
-- A fragment: joins the steps of each run.
s.run_id = r.id;

-- name: is_worker_of_step
-- A fragment: joins the worker of each step.
w.id = s.worker_id;
