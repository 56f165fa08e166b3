-- What SQLite says its own way about starts that are put together.

-- name: due_bundles
SELECT run_id, workflow FROM segue_bundles
WHERE due_at <= :now AND (plan IS NOT NULL OR workflow IN (SELECT value FROM json_each(:known)))
ORDER BY due_at LIMIT :limit;

-- name: prune_bundles
-- Of runs that were cancelled before they were due.
DELETE FROM segue_bundles WHERE run_id IN (SELECT value FROM json_each(:ids));
