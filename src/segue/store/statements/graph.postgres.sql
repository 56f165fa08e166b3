-- Parts: steps of several scopes, and several steps.

-- name: is_of_scopes
s.scope = ANY(:scopes::integer[]);

-- name: is_of_steps
c.step = ANY(:steps::integer[]);
