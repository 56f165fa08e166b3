-- Events for observers: what differs on SQLite.

-- name: runs_begin_returning
{runs_begin} RETURNING id;

-- name: is_newest_of_kinds
-- SQLite has no LATERAL: only the arguments of a function may name what stands before it.
e.id IN (SELECT i.value FROM (SELECT value AS name FROM json_each(:kinds)) k
    CROSS JOIN json_each((SELECT json_group_array(n.id) FROM ({newest_of_kind}) n)) i);

-- name: is_of_kinds
(:every_kind OR e.kind IN (SELECT value FROM json_each(:kinds)));
