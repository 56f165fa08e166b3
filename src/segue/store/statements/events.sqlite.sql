-- Events for observers: what differs on SQLite.

-- name: runs_begin_returning
{runs_begin} RETURNING id;

-- name: is_of_kinds
(:every_kind OR e.kind IN (SELECT value FROM json_each(:kinds)));
