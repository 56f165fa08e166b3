-- The steps of a run as a graph, within bounds: first those of the run itself, then those of the scopes that are opened.

-- name: steps_of_graph
-- The rule before its task returned a plan: afterwards a step waits for that, however it ends.
SELECT s.step, s.scope, s.name, s.task, s.is_join, s.status, coalesce(s.planned_rule, s.rule), s.hook, s.children, s.passed_on_to, s.ready_at,
    s.started_at, s.finished_at, s.seconds
FROM segue_steps s WHERE s.run_id = :run_id AND {is_of_scopes} ORDER BY s.step LIMIT :limit;

-- name: groups_of_graph
-- A join between two groups (no task) is a group by itself. All steps of a group have the same rule and hook, or nearly.
SELECT s.scope, {group_of_name}, CASE WHEN s.is_join AND s.task IS NULL THEN 1 ELSE 0 END, s.status, count(*), min(s.step),
    max(s.step), min(s.task), min(coalesce(s.planned_rule, s.rule)),
    min(s.hook), max(CASE WHEN s.is_join AND s.task IS NOT NULL THEN 1 ELSE 0 END),
    min(s.ready_at), min(s.started_at), max(s.finished_at), max(s.seconds)
FROM segue_steps s WHERE s.run_id = :run_id AND {is_of_scopes}
GROUP BY 1, 2, 3, 4 ORDER BY min(s.step) LIMIT :limit;

-- name: children_of_steps
SELECT c.step, c.children FROM segue_steps c WHERE c.run_id = :run_id AND {is_of_steps};

-- name: groups_of_steps
SELECT c.step, s.scope, {group_of_name}, CASE WHEN s.is_join AND s.task IS NULL THEN 1 ELSE 0 END
FROM segue_steps c JOIN segue_steps s ON s.run_id = c.run_id AND s.step = c.step WHERE c.run_id = :run_id AND {is_of_steps};
