-- Events for observers: what differs on PostgreSQL.

-- name: runs_begin_returning
{runs_begin} RETURNING r.id;

-- name: is_of_kinds
(CAST(:every_kind AS boolean) OR e.kind = ANY(:kinds::text[]));
