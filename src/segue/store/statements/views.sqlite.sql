-- Parts: the end of the id of a run, as the index on it has it.

-- name: end_of_id
substr(r.id, -8);
