-- Pages of runs: what differs on PostgreSQL.

-- name: run_matches
-- The other conditions of a filter; null means no condition.
(:prefix::text IS NULL OR {prefix_of_run} = :prefix::text)
AND (:statuses::text[] IS NULL OR r.status = ANY(:statuses::text[]))
AND (:workflow::text IS NULL OR r.workflow = :workflow::text) AND (:key::text IS NULL OR r.key = :key::text)
AND (:error_type::text IS NULL OR r.error::json ->> 'type' = :error_type::text)
AND (:forked_from::uuid IS NULL OR r.forked_from = :forked_from::uuid)
AND (:failed_since::timestamptz IS NULL OR (r.status = 'failed' AND r.finished_at >= :failed_since::timestamptz))
AND (:failed_until::timestamptz IS NULL OR (r.status = 'failed' AND r.finished_at < :failed_until::timestamptz))
AND NOT EXISTS (SELECT 1 FROM unnest(:names::text[], :values::text[]) AS w(name, value)
    WHERE 0 = (SELECT count(*) FROM segue_labels a WHERE a.name = w.name AND a.value = w.value AND a.run_id = r.id))
AND CASE WHEN :paths::text[] IS NULL THEN true
    WHEN r.arguments IS NULL OR length(r.arguments) > 65536 OR strpos(r.arguments, '\u0000') > 0 THEN false
    ELSE NOT EXISTS (SELECT 1 FROM unnest(:paths::text[], :wanted::text[]) AS w(path, value)
        WHERE w.value IS DISTINCT FROM jsonb_path_query_first(r.arguments::jsonb, w.path::jsonpath) #>> '{}') END;

-- name: page_of_ids
SELECT r.id FROM segue_runs r WHERE r.id = ANY(:ids::uuid[]) AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: way_of_workflow
-- The planner takes a name that it does not know for a frequent one, and goes through all runs by their ids rather than by
-- the index on (workflow, id). The range says nothing new, but it has that index look as cheap as it is.
FROM segue_runs r WHERE r.workflow = :workflow::text AND r.workflow >= :workflow::text AND r.workflow <= :workflow::text
AND r.id < :before AND r.id >= :since

-- name: way_of_error
FROM segue_runs r WHERE r.error IS NOT NULL AND r.error::json ->> 'type' = :error_type AND r.id < :before AND r.id >= :since

-- name: listed_run
-- A fragment: lists omit large arguments; their size is known without reading them.
{run_columns}, CASE WHEN octet_length(r.arguments) <= 2000 THEN r.arguments END

-- name: run_rows
SELECT {listed_run}
FROM segue_runs r WHERE r.id = ANY(:ids::uuid[]) ORDER BY r.id DESC;

-- name: count_steps_of_runs
SELECT s.run_id, s.status, count(*) FROM segue_steps s
WHERE s.run_id = ANY(:ids::uuid[]) AND NOT (s.is_join AND s.task IS NULL) GROUP BY 1, 2;
