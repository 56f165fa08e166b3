-- Parts: steps of several scopes, and several steps.

-- name: is_of_scopes
s.scope IN (SELECT value FROM json_each(:scopes));

-- name: is_of_steps
c.step IN (SELECT value FROM json_each(:steps));
