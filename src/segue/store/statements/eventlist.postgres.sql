-- Events of some kinds, where lists are arrays.

-- name: is_of_kinds
(CAST(:every_kind AS boolean) OR e.kind = ANY(:kinds::text[]));
