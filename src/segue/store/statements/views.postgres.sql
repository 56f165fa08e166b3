-- Parts: the end of the id of a run, as the index on it has it.

-- name: end_of_id
"right"(r.id::text, 8);
