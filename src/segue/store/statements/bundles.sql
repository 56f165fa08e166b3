-- Starts that are put together: many within a window become one run.

-- name: insert_bundle
-- No row back: another start began this bundle first.
INSERT INTO segue_bundles (run_id, workflow, key, keep, begun_at, due_at, plan, terms, seen, starts)
VALUES (:run_id, :workflow, :key, :keep, :now, :due_at, :plan, :terms, 1, :starts)
ON CONFLICT DO NOTHING RETURNING run_id;

-- name: open_bundle
SELECT b.run_id, b.keep, b.begun_at, b.due_at, b.starts, r.status FROM segue_bundles b JOIN segue_runs r ON r.id = b.run_id
WHERE b.workflow = :workflow AND b.key = :key AND NOT b.is_closed;

-- name: add_to_bundle
UPDATE segue_bundles SET due_at = :due_at, plan = coalesce(CAST(:plan AS text), plan), seen = seen + 1, starts = :starts WHERE run_id = :run_id;

-- name: close_bundle
-- From here on it is left alone, so it can be looked at without a lock; who starts it deletes it.
UPDATE segue_bundles SET is_closed = true WHERE run_id = :run_id AND (is_closed OR due_at <= :now)
RETURNING workflow, plan, keep, starts, terms;

-- name: drop_bundle
-- No row back: it was started, or dropped, already.
DELETE FROM segue_bundles WHERE run_id = :run_id RETURNING run_id;

-- name: next_bundle
SELECT min(due_at) FROM segue_bundles;

-- name: bundle_of_run
SELECT key, keep, due_at, seen FROM segue_bundles WHERE run_id = :run_id;

-- name: fill_run
-- The bundle's run gets its steps; once.
UPDATE segue_runs SET waiting_on = :waiting_on, steps = :steps, fail_fast = :fail_fast, has_hooks = :has_hooks,
    result_expr = :result_expr, arguments = :arguments
WHERE id = :run_id AND steps = 0 AND status NOT IN ('succeeded', 'failed', 'cancelled') AND intent IS NULL
RETURNING id;
