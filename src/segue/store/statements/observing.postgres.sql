-- What PostgreSQL says its own way.

-- name: runs_begin_told
{runs_begin} RETURNING r.id;
