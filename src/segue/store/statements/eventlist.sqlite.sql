-- Events of some kinds, where lists are JSON.

-- name: is_of_kinds
(:every_kind OR e.kind IN (SELECT value FROM json_each(:kinds)));
