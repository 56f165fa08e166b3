-- What PostgreSQL says its own way about starts that are put together.

-- name: open_bundle
-- Locked: who adds to it and who closes it decide one after the other.
SELECT b.run_id, b.keep, b.begun_at, b.due_at, b.starts, r.status FROM segue_bundles b JOIN segue_runs r ON r.id = b.run_id
WHERE b.workflow = :workflow AND b.key = :key AND NOT b.is_closed FOR UPDATE OF b;

-- name: due_bundles
SELECT run_id, workflow FROM segue_bundles
WHERE due_at <= :now AND (plan IS NOT NULL OR workflow = ANY(:known::text[]))
ORDER BY due_at LIMIT :limit;

-- name: prune_bundles
-- Of runs that were cancelled before they were due.
DELETE FROM segue_bundles WHERE run_id = ANY(:ids::uuid[]);
