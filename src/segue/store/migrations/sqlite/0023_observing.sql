-- How things stand, as numbers for monitoring: made by a process that reads them, when those that are there are old.
CREATE TABLE segue_standing (
    namespace TEXT PRIMARY KEY,
    taken_at TEXT NOT NULL,   -- when a process last began to make them
    made_at TEXT,             -- null: they were never finished
    samples TEXT              -- JSON: [[name, [values of labels], value], ...]
) WITHOUT ROWID;
ALTER TABLE segue_runs ADD COLUMN trace TEXT;  -- where the spans of its attempts belong; null: its start was not traced
