-- Pages of runs: what differs on PostgreSQL.

-- name: run_matches
-- The other conditions of a filter; null means no condition.
(:prefix::text IS NULL OR {prefix_of_run} = :prefix::text)
AND (:statuses::text[] IS NULL OR r.status = ANY(:statuses::text[]))
AND (:workflow::text IS NULL OR r.workflow = :workflow::text) AND (:key::text IS NULL OR r.key = :key::text)
AND (:error_type::text IS NULL OR r.error::json ->> 'type' = :error_type::text)
AND NOT EXISTS (SELECT 1 FROM unnest(:names::text[], :values::text[]) AS w(name, value)
    WHERE 0 = (SELECT count(*) FROM segue_labels a WHERE a.name = w.name AND a.value = w.value AND a.run_id = r.id));

-- name: page_of_ids
SELECT r.id FROM segue_runs r WHERE r.id = ANY(:ids::uuid[]) AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: page_of_error
SELECT r.id FROM segue_runs r
WHERE r.error IS NOT NULL AND r.error::json ->> 'type' = :error_type AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: run_rows
-- Lists omit large arguments; their size is known without reading them.
SELECT {run_columns}, CASE WHEN octet_length(r.arguments) <= 2000 THEN r.arguments END
FROM segue_runs r WHERE r.id = ANY(:ids::uuid[]) ORDER BY r.id DESC;
