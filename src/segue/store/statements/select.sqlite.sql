-- Pages of runs: what differs on SQLite.

-- name: run_matches
-- The other conditions of a filter; null means no condition.
(:prefix IS NULL OR {prefix_of_run} = :prefix)
AND (:statuses IS NULL OR r.status IN (SELECT value FROM json_each(:statuses)))
AND (:workflow IS NULL OR r.workflow = :workflow) AND (:key IS NULL OR r.key = :key)
AND (:error_type IS NULL OR json_extract(r.error, '$.type') = :error_type)
AND (:forked_from IS NULL OR r.forked_from = :forked_from)
AND (:failed_since IS NULL OR (r.status = 'failed' AND r.finished_at >= :failed_since))
AND (:failed_until IS NULL OR (r.status = 'failed' AND r.finished_at < :failed_until))
AND NOT EXISTS (SELECT 1 FROM json_each(:names) n JOIN json_each(:values) v ON v.key = n.key
    WHERE NOT EXISTS (SELECT 1 FROM segue_labels a WHERE a.name = n.value AND a.value = v.value AND a.run_id = r.id))
AND (:paths IS NULL OR (length(r.arguments) <= 65536 AND json_valid(r.arguments) AND NOT EXISTS (
    SELECT 1 FROM json_each(:paths) p JOIN json_each(:wanted) w ON w.key = p.key WHERE w.value <> coalesce(
        CASE WHEN json_type(r.arguments, p.value) IN ('true', 'false') THEN json_type(r.arguments, p.value)
        ELSE CAST(json_extract(r.arguments, p.value) AS text) END, w.value || '.'))));

-- name: page_of_ids
SELECT r.id FROM segue_runs r
WHERE r.id IN (SELECT value FROM json_each(:ids)) AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: way_of_workflow
FROM segue_runs r WHERE r.workflow = :workflow AND r.id < :before AND r.id >= :since

-- name: way_of_error
FROM segue_runs r WHERE r.error IS NOT NULL AND json_extract(r.error, '$.type') = :error_type AND r.id < :before AND r.id >= :since

-- name: listed_run
-- A fragment: lists omit large arguments.
{run_columns}, CASE WHEN length(r.arguments) <= 2000 THEN r.arguments END

-- name: run_rows
SELECT {listed_run}
FROM segue_runs r WHERE r.id IN (SELECT value FROM json_each(:ids)) ORDER BY r.id DESC;

-- name: count_steps_of_runs
-- One search for each run, whatever the statistics say: the steps of a run are neighbours in the primary key.
SELECT given.value, s.status, count(*) FROM json_each(:ids) AS given CROSS JOIN segue_steps s
WHERE s.run_id = given.value AND NOT (s.is_join AND s.task IS NULL) GROUP BY 1, 2;
