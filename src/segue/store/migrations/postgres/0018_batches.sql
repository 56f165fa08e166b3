-- Pushes that are submitted together, as an array of jobs.
ALTER TABLE segue_pushes
    ADD COLUMN batch uuid,                  -- the name outside of the array is made of it; null: it goes alone
    ADD COLUMN place integer,               -- ... and its index there; both stay for as long as the push does
    ADD CONSTRAINT segue_pushes_batch_check CHECK ((batch IS NULL) = (place IS NULL));
CREATE UNIQUE INDEX segue_pushes_batch ON segue_pushes (batch, place) WHERE batch IS NOT NULL;
CREATE INDEX segue_pushes_batch_open ON segue_pushes (batch) WHERE batch IS NOT NULL AND closed_at IS NULL;
CREATE INDEX segue_pushes_accepted ON segue_pushes (executor, id) WHERE state = 'accepted' AND closed_at IS NULL;
