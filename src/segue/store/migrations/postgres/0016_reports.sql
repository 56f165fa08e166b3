-- Pushed attempts whose processes report by themselves, and what dispatchers know of their platforms.
ALTER TABLE segue_pushes ADD COLUMN holder text;               -- the process that began the attempt; no other may
ALTER TABLE segue_pushes ADD COLUMN beat_at timestamptz;       -- when that process was last heard of
ALTER TABLE segue_pushes ADD COLUMN beat_until timestamptz;    -- until then it counts as alive, whatever the platform knows
ALTER TABLE segue_pushes ADD COLUMN reported_at timestamptz;   -- when that process itself reported its end
CREATE TABLE segue_platforms (
    executor text PRIMARY KEY,      -- with its namespace
    kind text NOT NULL,
    pace text NOT NULL,             -- JSON
    looked_at timestamptz,          -- when the platform last answered
    blind_since timestamptz,        -- since when it does not answer; null: it does
    busy_since timestamptz,         -- since when it takes nothing; null: it does
    problem text,                   -- what it said last, when it did not answer or take a step
    written_at timestamptz NOT NULL
);
