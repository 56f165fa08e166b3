-- Events for observers: what differs on PostgreSQL.

-- name: runs_begin_returning
{runs_begin} RETURNING r.id;

-- name: is_newest_of_kinds
e.id = ANY(ARRAY(SELECT i.id FROM unnest(:kinds::text[]) AS k(name) CROSS JOIN LATERAL ({newest_of_kind}) i));

-- name: is_of_kinds
(CAST(:every_kind AS boolean) OR e.kind = ANY(:kinds::text[]));
