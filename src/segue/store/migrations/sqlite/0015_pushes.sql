-- Steps that are pushed to an executor which is polled: what may exist outside, written before the first call.
CREATE TABLE segue_pushes (
    id TEXT PRIMARY KEY,                    -- its name outside is made of it
    executor TEXT NOT NULL,                 -- with its namespace
    run_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('planned', 'unsure', 'accepted', 'closed')),
    external_id TEXT,                       -- what the platform calls it; null: it is not known to exist
    tries INTEGER NOT NULL DEFAULT 0,       -- how often it was submitted
    due_at TEXT NOT NULL,            -- planned: not submitted before; unsure: not searched for before
    phase TEXT,                             -- what the platform says of it
    reason TEXT,                            -- ... and why it waits, or why it was not accepted
    host TEXT,
    cancels INTEGER NOT NULL DEFAULT 0,     -- how often the platform was asked to end it
    cancel_at TEXT,                  -- not asked again before
    created_at TEXT NOT NULL,
    tried_at TEXT,
    gone_at TEXT,                    -- since when the platform does not know it
    closed_at TEXT,
    cleaned_at TEXT                  -- when what was left of it outside was removed
);
CREATE UNIQUE INDEX segue_pushes_attempt ON segue_pushes (run_id, step, attempt);
CREATE INDEX segue_pushes_open ON segue_pushes (executor, state, due_at) WHERE closed_at IS NULL;
CREATE INDEX segue_pushes_unclean ON segue_pushes (executor) WHERE closed_at IS NOT NULL AND cleaned_at IS NULL;
