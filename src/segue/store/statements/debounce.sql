-- Debounced starts: many starts within a window become one run.

-- name: insert_debounce
-- No row returned: another start opened this debounce first.
INSERT INTO segue_debounces (run_id, workflow, key, keep, begun_at, due_at, is_closed, plan, terms, seen, bytes, starts)
VALUES (:run_id, :workflow, :key, :keep, :now, :due_at, :is_closed, :plan, :terms, 1, :bytes, :starts)
ON CONFLICT DO NOTHING RETURNING run_id;

-- name: open_debounce
SELECT b.run_id, b.keep, b.begun_at, b.due_at, b.seen, b.bytes, b.plan IS NULL, r.status
FROM segue_debounces b JOIN segue_runs r ON r.id = b.run_id
WHERE b.workflow = :workflow AND b.key = :key AND NOT b.is_closed;

-- name: debounce_of_start
SELECT run_id FROM segue_debounce_starts WHERE id = :id;

-- name: put_start
-- No row returned: the start is already recorded. `arguments` is null if the debounce does not keep the arguments of
-- all.
INSERT INTO segue_debounce_starts (id, run_id, position, arguments) VALUES (:id, :run_id, :position, :arguments)
ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: add_to_debounce
UPDATE segue_debounces SET due_at = :due_at, is_closed = :is_closed, plan = coalesce(CAST(:plan AS text), plan),
    seen = seen + 1, bytes = bytes + :bytes
WHERE run_id = :run_id;

-- name: end_debounce_window
-- It takes no more starts and is due before its window has passed.
UPDATE segue_debounces SET is_closed = true, due_at = :now WHERE run_id = :run_id;

-- name: hasten_debounce
UPDATE segue_debounces SET due_at = :now WHERE workflow = :workflow AND key = :key AND NOT is_closed AND due_at > :now;

-- name: starts_of_debounce
SELECT arguments FROM segue_debounce_starts WHERE run_id = :run_id AND arguments IS NOT NULL ORDER BY position;

-- name: forget_starts
-- Ids are ordered by time. Arguments that a debounce keeps are needed until its run starts.
DELETE FROM segue_debounce_starts WHERE id IN (
    SELECT s.id FROM segue_debounce_starts s WHERE s.id < :before AND (s.arguments IS NULL OR NOT EXISTS (
        SELECT 1 FROM segue_debounces b WHERE b.run_id = s.run_id))
    ORDER BY s.id LIMIT :limit)
RETURNING id;

-- name: close_debounce
-- After this it no longer changes, so it can be read without a lock; the process that starts its run deletes it.
UPDATE segue_debounces SET is_closed = true WHERE run_id = :run_id AND (is_closed OR due_at <= :now)
RETURNING workflow, plan, keep, starts, terms;

-- name: drop_debounce
-- No row returned: it was already started or dropped.
DELETE FROM segue_debounces WHERE run_id = :run_id RETURNING run_id;

-- name: next_debounce
SELECT min(due_at) FROM segue_debounces;

-- name: debounce_of_run
SELECT key, keep, due_at, seen FROM segue_debounces WHERE run_id = :run_id;

-- name: fill_run
-- Gives the debounce's run its steps, once.
UPDATE segue_runs SET waiting_on = :waiting_on, steps = :steps, fail_fast = :fail_fast, has_hooks = :has_hooks,
    result_expr = :result_expr, arguments = :arguments
WHERE id = :run_id AND steps = 0 AND status NOT IN ('succeeded', 'failed', 'cancelled') AND intent IS NULL
RETURNING id;
