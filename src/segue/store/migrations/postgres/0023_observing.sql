-- How things stand, as numbers for monitoring: made by a process that reads them, when those that are there are old.
CREATE TABLE segue_standing (
    namespace text PRIMARY KEY,
    taken_at timestamptz NOT NULL,   -- when a process last began to make them
    made_at timestamptz,             -- null: they were never finished
    samples text                     -- JSON: [[name, [values of labels], value], ...]
);
ALTER TABLE segue_runs ADD COLUMN trace text;  -- where the spans of its attempts belong; null: its start was not traced
