-- Pushed attempts whose processes report by themselves, and what dispatchers know of their platforms.
ALTER TABLE segue_pushes ADD COLUMN holder TEXT;               -- the process that began the attempt; no other may
ALTER TABLE segue_pushes ADD COLUMN beat_at TEXT;       -- when that process was last heard of
ALTER TABLE segue_pushes ADD COLUMN beat_until TEXT;    -- until then it counts as alive, whatever the platform knows
ALTER TABLE segue_pushes ADD COLUMN reported_at TEXT;   -- when that process itself reported its end
CREATE TABLE segue_platforms (
    executor TEXT PRIMARY KEY,      -- with its namespace
    kind TEXT NOT NULL,
    pace TEXT NOT NULL,             -- JSON
    looked_at TEXT,          -- when the platform last answered
    blind_since TEXT,        -- since when it does not answer; null: it does
    busy_since TEXT,         -- since when it takes nothing; null: it does
    problem TEXT,                   -- what it said last, when it did not answer or take a step
    written_at TEXT NOT NULL
);
