-- Parts: steps of several scopes, and several steps.

-- name: is_of_scopes
s.scope IN (SELECT value FROM json_each(:scopes));

-- name: is_of_steps
c.step IN (SELECT value FROM json_each(:steps));

-- name: is_awaited
EXISTS (SELECT 1 FROM json_each(s.children) c WHERE c.value = :step);

-- name: is_parent
-- A child that no longer waits for the step is written as -2 - child.
EXISTS (SELECT 1 FROM json_each(s.children) c WHERE c.value IN (:step, -2 - :step));
