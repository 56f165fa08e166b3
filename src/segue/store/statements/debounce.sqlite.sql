-- Debounced starts: what differs on SQLite.

-- name: due_debounces
SELECT run_id, workflow FROM segue_debounces
WHERE due_at <= :now AND (plan IS NOT NULL OR workflow IN (SELECT value FROM json_each(:known)))
ORDER BY due_at LIMIT :limit;

-- name: prune_debounces
-- Debounces whose runs were cancelled before they were due.
DELETE FROM segue_debounces WHERE run_id IN (SELECT value FROM json_each(:ids));
