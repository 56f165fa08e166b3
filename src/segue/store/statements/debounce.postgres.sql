-- Debounced starts: what differs on PostgreSQL.

-- name: open_debounce
-- Locked, so that adding to a debounce and closing it happen one after the other.
SELECT b.run_id, b.keep, b.begun_at, b.due_at, b.seen, b.bytes, b.plan IS NULL, r.status
FROM segue_debounces b JOIN segue_runs r ON r.id = ANY(ARRAY[b.run_id])
WHERE b.workflow = :workflow AND b.key = :key AND NOT b.is_closed FOR UPDATE OF b;

-- name: due_debounces
SELECT run_id, workflow FROM segue_debounces
WHERE due_at <= :now AND (plan IS NOT NULL OR workflow = ANY(:known::text[]))
ORDER BY due_at LIMIT :limit;

-- name: prune_debounces
-- Debounces whose runs were cancelled before they were due.
DELETE FROM segue_debounces WHERE run_id = ANY(:ids::uuid[]);
