-- Pages of runs: what PostgreSQL says its own way.

-- name: run_matches
-- What else a filter asks of a run; null asks nothing.
(:statuses::text[] IS NULL OR r.status = ANY(:statuses::text[]))
AND (:workflow::text IS NULL OR r.workflow = :workflow::text) AND (:key::text IS NULL OR r.key = :key::text)
AND (:error_type::text IS NULL OR r.error::json ->> 'type' = :error_type::text)
AND NOT EXISTS (SELECT 1 FROM unnest(:names::text[], :values::text[]) AS w(name, value)
    WHERE NOT EXISTS (SELECT 1 FROM segue_labels a WHERE a.name = w.name AND a.value = w.value AND a.run_id = r.id));

-- name: page_of_ids
SELECT r.id FROM segue_runs r WHERE r.id = ANY(:ids::uuid[]) AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: page_of_error
SELECT r.id FROM segue_runs r
WHERE r.error IS NOT NULL AND r.error::json ->> 'type' = :error_type AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: run_rows
-- Lists leave large arguments out; their size is known without reading them.
SELECT {run_columns}, CASE WHEN octet_length(r.arguments) <= 2000 THEN r.arguments END
FROM segue_runs r WHERE r.id = ANY(:ids::uuid[]) ORDER BY r.id DESC;
