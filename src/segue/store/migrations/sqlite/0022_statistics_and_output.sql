-- How many attempts ended in a minute or an hour, how long they took and had waited. Hints: a process that dies takes the
-- last seconds of its own with it.
CREATE TABLE segue_statistics (
    span INTEGER NOT NULL,                              -- seconds: 60 or 3600
    at TEXT NOT NULL,                                   -- when the span begins
    process TEXT NOT NULL,                              -- that counted: a random id; '': all of them, added up
    queue TEXT NOT NULL,                                -- its stored name; of an executor: the prefix of its queues
    task TEXT NOT NULL,                                 -- '': not known, or one of too many
    attempts INTEGER NOT NULL,
    failed INTEGER NOT NULL,                            -- of them
    seconds REAL NOT NULL,                              -- how long they took, together
    waited REAL NOT NULL,                               -- how long they had been ready before, together
    took TEXT NOT NULL,                                 -- JSON: bucket → attempts that took so long
    waits TEXT NOT NULL,                                -- JSON: bucket → attempts that had waited so long
    PRIMARY KEY (span, at, process, queue, task)
) WITHOUT ROWID;
CREATE INDEX segue_statistics_apart ON segue_statistics (at) WHERE process <> '';
-- Runs whose output is read while they run: workers write what their attempts print only for these.
CREATE TABLE segue_watches (
    run_id TEXT PRIMARY KEY,
    until TEXT NOT NULL                                  -- the reader says it again before
) WITHOUT ROWID;
CREATE INDEX segue_watches_until ON segue_watches (until);
-- The end of what an attempt has printed so far. Hints; what an ended attempt has printed is in segue_attempts.
CREATE TABLE segue_live_output (
    run_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    output TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (run_id, step)
) WITHOUT ROWID;
CREATE INDEX segue_live_output_age ON segue_live_output (updated_at);
