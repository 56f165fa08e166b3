-- Parts: steps of several scopes, and several steps.

-- name: is_of_scopes
s.scope = ANY(:scopes::integer[]);

-- name: is_of_steps
c.step = ANY(:steps::integer[]);

-- name: is_awaited
s.children @> ARRAY[CAST(:step AS integer)];

-- name: is_parent
-- A child that no longer waits for the step is written as -2 - child.
s.children && ARRAY[CAST(:step AS integer), -2 - CAST(:step AS integer)];
