-- Which runs a chore covers: one, or all except some.

-- name: wait_shortly
-- Limits the wait for any lock in this transaction. What it cannot do is done later; other transactions continue.
SELECT set_config('lock_timeout', '300', true);

-- name: is_in_scope
(CAST(:only AS uuid) IS NULL OR run_id = CAST(:only AS uuid)) AND run_id <> ALL(:aside::uuid[]);

-- name: is_step_of_run
-- A fragment: joins the steps of each run by their key. Why it is not `=` stands in postgres.sql.
s.run_id = ANY(ARRAY[r.id]);

-- name: is_worker_of_step
-- A fragment, in the same way.
w.id = ANY(ARRAY[s.worker_id]);
