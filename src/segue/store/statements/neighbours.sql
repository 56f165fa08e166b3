-- The steps before and after a step.

-- name: parents_of_step
-- Edges are stored with their source, so this reads the edges of the whole run; the caller leaves it out for a large one.
SELECT DISTINCT s.step, s.name, s.status
FROM segue_children c JOIN segue_steps s ON s.run_id = :run_id AND s.step = c.step
WHERE c.run_id = :run_id AND {known_child} = :step ORDER BY s.step LIMIT :limit;

-- name: children_named
SELECT c.step, c.name, c.status FROM segue_steps c WHERE c.run_id = :run_id AND {is_of_steps} ORDER BY c.step;
