-- SQLite writes an entry of a partial index only when a row enters or leaves it; the column saves nothing there.
ALTER TABLE segue_runs ADD COLUMN is_paused integer GENERATED ALWAYS AS (status = 'paused') VIRTUAL;
DROP INDEX segue_runs_halted;
CREATE INDEX segue_runs_halted ON segue_runs (id) WHERE finished_at IS NULL AND (is_paused OR intent IS NOT NULL);
