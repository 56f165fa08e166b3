-- Pushes that are submitted together: batches on SQLite.

-- name: put_pushes
-- columns: id uuid, executor text, run_id uuid, step int, attempt int, due_at timestamptz, created_at timestamptz
INSERT INTO segue_pushes (id, executor, run_id, step, attempt, state, due_at, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, 'planned', ?6, ?7);

-- name: take_pushes
-- Committed before the platform is called; see `take_push`. The place is that in the list, if it has none yet.
UPDATE segue_pushes SET state = 'unsure', tries = tries + 1, tried_at = :now, due_at = :until,
    batch = coalesce(batch, :new_batch), place = coalesce(place, o.key)
FROM json_each(:ids) o WHERE segue_pushes.id = o.value AND state = 'planned' AND due_at <= :now
RETURNING segue_pushes.id, tries, batch, place;

-- name: accept_pushes
-- columns: id uuid, external_id text
UPDATE segue_pushes SET state = 'accepted', external_id = ?2, reason = NULL WHERE id = ?1 AND state = 'unsure';

-- name: name_steps
-- columns: run_id uuid, step int, attempt int, handle text
UPDATE segue_steps SET handle = ?4 WHERE run_id = ?1 AND step = ?2 AND attempt = ?3 AND {is_live};

-- name: close_pushes
UPDATE segue_pushes SET state = 'closed', closed_at = :now
WHERE id IN (SELECT value FROM json_each(:ids)) AND closed_at IS NULL;
