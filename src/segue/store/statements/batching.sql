-- Pushes that are submitted together. A batch and its places are written once: a push that is submitted again keeps
-- them, so that an array which arrives late is known.

-- name: push_of_place
SELECT id FROM segue_pushes WHERE batch = :batch AND place = :place;

-- name: batch_is_open
-- Whether an attempt of the batch has not ended, or ended only after a time.
coalesce((SELECT 1 FROM segue_pushes o WHERE o.batch = p.batch AND o.closed_at IS NULL LIMIT 1),
    (SELECT 1 FROM segue_pushes o WHERE o.batch = p.batch AND o.closed_at > :before LIMIT 1));
