-- How many attempts ended in a minute or an hour, how long they took and had waited. Hints: a process that dies takes the
-- last seconds of its own with it.
CREATE TABLE segue_statistics (
    span integer NOT NULL,                              -- seconds: 60 or 3600
    at timestamptz NOT NULL,                            -- when the span begins
    process text NOT NULL,                              -- that counted: a random id; '': all of them, added up
    queue text NOT NULL,                                -- its stored name; of an executor: the prefix of its queues
    task text NOT NULL,                                 -- '': not known, or one of too many
    attempts bigint NOT NULL,
    failed bigint NOT NULL,                             -- of them
    seconds float8 NOT NULL,                            -- how long they took, together
    waited float8 NOT NULL,                             -- how long they had been ready before, together
    took text NOT NULL,                                 -- JSON: bucket → attempts that took so long
    waits text NOT NULL,                                -- JSON: bucket → attempts that had waited so long
    PRIMARY KEY (span, at, process, queue, task)
);
CREATE INDEX segue_statistics_apart ON segue_statistics (at) WHERE process <> '';
-- Runs whose output is read while they run: workers write what their attempts print only for these.
CREATE TABLE segue_watches (
    run_id uuid PRIMARY KEY,
    until timestamptz NOT NULL                           -- the reader says it again before
);
CREATE INDEX segue_watches_until ON segue_watches (until);
-- The end of what an attempt has printed so far. Hints; what an ended attempt has printed is in segue_attempts.
CREATE TABLE segue_live_output (
    run_id uuid NOT NULL,
    step integer NOT NULL,
    attempt integer NOT NULL,
    output text NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (run_id, step)
);
CREATE INDEX segue_live_output_age ON segue_live_output (updated_at);
