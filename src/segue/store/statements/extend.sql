-- A running step adds steps to its own run (engine/extend.py), or leaves some out (engine/detour.py). The caller holds
-- the lock of the run.

-- name: addition_of
-- Whether this try has added this already. Returns the number of the first step that it added.
SELECT step FROM segue_steps WHERE run_id = :run_id AND added = :added;

-- name: mark_addition
UPDATE segue_steps SET added = :added WHERE run_id = :run_id AND step = :step;

-- name: place_of_step
-- Where a step is, what waits for it, and what it gathers itself.
SELECT scope, lane, children, status, rule, holes, result_expr FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: gather_more
-- A blocked step has that many parents more. What it gathers from them is in its holes, or in the result of a join.
UPDATE segue_steps SET waiting_on = waiting_on + :more, holes = :holes, result_expr = :result_expr
WHERE run_id = :run_id AND step = :step AND status = 'blocked';

-- name: wait_for_more
UPDATE segue_steps SET waiting_on = waiting_on + :more WHERE run_id = :run_id AND step = :step AND status = 'blocked';

-- name: run_waits_for_more
UPDATE segue_runs SET waiting_on = waiting_on + :more WHERE id = :run_id;

-- name: skip_when_due
-- A wait is a join until it begins.
UPDATE segue_steps SET when_expr = :never
WHERE run_id = :run_id AND step = :step AND status = 'blocked' AND task IS NOT NULL
    AND (NOT is_join OR task IN ('segue.wait_for', 'segue.sleep'));

-- name: pass_by
-- As a step whose task returned a plan that has ended: it has the result of its parent.
UPDATE segue_steps SET is_join = true, planned_rule = rule, result_expr = :result_expr
WHERE run_id = :run_id AND step = :step AND status = 'blocked' AND task IS NOT NULL AND NOT is_join;
