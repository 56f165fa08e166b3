-- The condition of an index counts as one of its columns: with `status` in it, no update with which a run begins stayed
-- within its page (HOT). This column changes only when a run is paused or resumed, whichever release does it.
ALTER TABLE segue_runs ADD COLUMN is_paused boolean GENERATED ALWAYS AS (status = 'paused') STORED;
DROP INDEX segue_runs_halted;
-- Runs in which no step may begin, which each process of an executor reads once a second.
CREATE INDEX segue_runs_halted ON segue_runs (id) WHERE finished_at IS NULL AND (is_paused OR intent IS NOT NULL);
