-- Runs in which no step may begin, which each process of an executor reads once a second.
CREATE INDEX segue_runs_halted ON segue_runs (id) WHERE finished_at IS NULL AND (status = 'paused' OR intent IS NOT NULL);
