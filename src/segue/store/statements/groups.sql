-- The steps of a run in groups, so that a page about a run with many steps does not read them all.

-- name: group_of_name
-- A fragment: what the names of the items of a `map` have in common, "price[" of "price[3]"; any other name as it is.
CASE WHEN substr(s.name, length(s.name)) = ']' THEN rtrim(rtrim(s.name, ']'), '0123456789') ELSE s.name END

-- name: groups_of_run
SELECT s.scope, {group_of_name}, s.status, s.gate, count(*), min(s.step), max(s.step), min(s.started_at), max(s.finished_at),
    max(s.seconds), sum(s.seconds)
FROM segue_steps s WHERE s.run_id = :run_id AND NOT (s.is_join AND s.task IS NULL)
GROUP BY s.scope, {group_of_name}, s.status, s.gate ORDER BY min(s.step) LIMIT :limit;

-- name: group_of_step
SELECT s.scope, {group_of_name}, s.name FROM segue_steps s WHERE s.run_id = :run_id AND s.step = :step;

-- name: members_of_group
SELECT {step_columns}
WHERE s.run_id = :run_id AND s.step > :after AND s.step >= :first AND s.scope = :scope AND {group_of_name} = :name
AND NOT (s.is_join AND s.task IS NULL) AND (CAST(:status AS text) IS NULL OR s.status = :status)
ORDER BY s.step LIMIT :limit;
