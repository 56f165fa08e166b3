-- Pages of runs: what differs on SQLite.

-- name: run_matches
-- The other conditions of a filter; null means no condition.
(:prefix IS NULL OR {prefix_of_run} = :prefix)
AND (:statuses IS NULL OR r.status IN (SELECT value FROM json_each(:statuses)))
AND (:workflow IS NULL OR r.workflow = :workflow) AND (:key IS NULL OR r.key = :key)
AND (:error_type IS NULL OR json_extract(r.error, '$.type') = :error_type)
AND NOT EXISTS (SELECT 1 FROM json_each(:names) n JOIN json_each(:values) v ON v.key = n.key
    WHERE NOT EXISTS (SELECT 1 FROM segue_labels a WHERE a.name = n.value AND a.value = v.value AND a.run_id = r.id));

-- name: page_of_ids
SELECT r.id FROM segue_runs r
WHERE r.id IN (SELECT value FROM json_each(:ids)) AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: page_of_error
SELECT r.id FROM segue_runs r
WHERE r.error IS NOT NULL AND json_extract(r.error, '$.type') = :error_type AND r.id < :before AND r.id >= :since
AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: run_rows
-- Lists omit large arguments.
SELECT {run_columns}, CASE WHEN length(r.arguments) <= 2000 THEN r.arguments END
FROM segue_runs r WHERE r.id IN (SELECT value FROM json_each(:ids)) ORDER BY r.id DESC;
