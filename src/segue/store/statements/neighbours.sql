-- The steps before and after a step.

-- name: parents_of_step
-- Edges are stored with their source, so this passes over the rows of the run; the caller leaves it out for a large one.
SELECT s.step, s.name, s.status FROM segue_steps s WHERE s.run_id = :run_id AND {is_parent} ORDER BY s.step LIMIT :limit;

-- name: children_named
SELECT c.step, c.name, c.status FROM segue_steps c WHERE c.run_id = :run_id AND {is_of_steps} ORDER BY c.step;
