-- The steps before and after a step.

-- name: neighbours_of_step
-- Edges are stored with their source, so the first part passes over the rows of the run: the caller has no parents looked
-- for in a large one.
SELECT * FROM (SELECT 1, s.step, s.name, s.status FROM segue_steps s
    WHERE CAST(:finds_parents AS boolean) AND s.run_id = :run_id AND {is_parent} ORDER BY s.step LIMIT :limit) AS parents
UNION ALL
SELECT * FROM (SELECT 0, c.step, c.name, c.status FROM segue_steps c
    WHERE c.run_id = :run_id AND {is_of_steps} ORDER BY c.step) AS children;
