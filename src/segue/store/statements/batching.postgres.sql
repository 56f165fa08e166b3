-- Pushes that are submitted together: batches on PostgreSQL. Rows are locked in the order of their ids; those that
-- another dispatcher holds are its own.

-- name: put_pushes
-- columns: id uuid, executor text, run_id uuid, step int, attempt int, due_at timestamptz, created_at timestamptz
INSERT INTO segue_pushes (id, executor, run_id, step, attempt, state, due_at, created_at)
SELECT id, executor, run_id, step, attempt, 'planned', due_at, created_at FROM :batch;

-- name: take_pushes
-- Committed before the platform is called; see `take_push`. The place is that in the list, if it has none yet.
WITH mine AS MATERIALIZED (
    SELECT p.id, o.place FROM unnest(:ids::uuid[]) WITH ORDINALITY o (id, place)
    CROSS JOIN LATERAL (SELECT id FROM segue_pushes
        WHERE id = o.id AND state = 'planned' AND due_at <= :now OFFSET 0 FOR UPDATE SKIP LOCKED) p
)
UPDATE segue_pushes p SET state = 'unsure', tries = tries + 1, tried_at = :now, due_at = :until,
    batch = coalesce(p.batch, :new_batch), place = coalesce(p.place, m.place::integer - 1)
FROM mine m WHERE p.id = m.id AND p.state = 'planned' RETURNING p.id, p.tries, p.batch, p.place;

-- name: accept_pushes
-- columns: id uuid, external_id text
WITH mine AS MATERIALIZED (
    SELECT p.id, o.external_id FROM :batch
    CROSS JOIN LATERAL (SELECT id FROM segue_pushes WHERE id = o.id AND state = 'unsure' OFFSET 0) p ORDER BY p.id
)
UPDATE segue_pushes p SET state = 'accepted', external_id = m.external_id, reason = NULL
FROM mine m WHERE p.id = m.id AND p.state = 'unsure';

-- name: name_steps
-- columns: run_id uuid, step int, attempt int, handle text
UPDATE segue_steps s SET handle = o.handle FROM :batch
WHERE s.run_id = ANY(ARRAY[o.run_id]) AND s.step = o.step AND s.attempt = o.attempt AND {is_live};

-- name: close_pushes
UPDATE segue_pushes SET state = 'closed', closed_at = :now WHERE id = ANY(:ids::uuid[]) AND closed_at IS NULL;
