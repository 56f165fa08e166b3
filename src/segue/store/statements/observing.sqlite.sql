-- What SQLite says its own way.

-- name: runs_begin_told
{runs_begin} RETURNING id;
