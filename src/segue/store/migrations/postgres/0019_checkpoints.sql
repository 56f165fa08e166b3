-- What a task has recorded inside its step: results, sleeps and waits, in the order of its calls.
CREATE TABLE segue_checkpoints (
    run_id uuid NOT NULL,
    step integer NOT NULL,
    ordinal integer NOT NULL,                           -- Invariant: 0, 1, 2 ... without a gap
    kind text NOT NULL,                                 -- checkpoint, sleep, wait
    name text NOT NULL,                                 -- of the checkpoint, or of the message; '' for a sleep
    fingerprint text NOT NULL,                          -- a hash of the kind, the name and the arguments
    attempt integer NOT NULL,                           -- that recorded it
    value text,                                         -- JSON; null: a sleep, or a wait that has no message
    started_at timestamptz NOT NULL,
    due_at timestamptz,                                 -- when a sleep is over, or a wait gives up; null: never
    finished_at timestamptz,                            -- null: a sleep, or a wait that has not ended
    PRIMARY KEY (run_id, step, ordinal)
);
-- Only the last record of a step can be a wait that has not ended.
CREATE INDEX segue_checkpoints_waiting ON segue_checkpoints (run_id, name, started_at)
    WHERE kind = 'wait' AND finished_at IS NULL;
