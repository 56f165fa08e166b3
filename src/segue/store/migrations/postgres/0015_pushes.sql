-- Steps that are pushed to an executor which is polled: what may exist outside, written before the first call.
CREATE TABLE segue_pushes (
    id uuid PRIMARY KEY,                    -- its name outside is made of it
    executor text NOT NULL,                 -- with its namespace
    run_id uuid NOT NULL,
    step integer NOT NULL,
    attempt integer NOT NULL,
    state text NOT NULL CHECK (state IN ('planned', 'unsure', 'accepted', 'closed')),
    external_id text,                       -- what the platform calls it; null: it is not known to exist
    tries integer NOT NULL DEFAULT 0,       -- how often it was submitted
    due_at timestamptz NOT NULL,            -- planned: not submitted before; unsure: not searched for before
    phase text,                             -- what the platform says of it
    reason text,                            -- ... and why it waits, or why it was not accepted
    host text,
    cancels integer NOT NULL DEFAULT 0,     -- how often the platform was asked to end it
    cancel_at timestamptz,                  -- not asked again before
    created_at timestamptz NOT NULL,
    tried_at timestamptz,
    gone_at timestamptz,                    -- since when the platform does not know it
    closed_at timestamptz,
    cleaned_at timestamptz                  -- when what was left of it outside was removed
);
CREATE UNIQUE INDEX segue_pushes_attempt ON segue_pushes (run_id, step, attempt);
CREATE INDEX segue_pushes_open ON segue_pushes (executor, state, due_at) WHERE closed_at IS NULL;
CREATE INDEX segue_pushes_unclean ON segue_pushes (executor) WHERE closed_at IS NOT NULL AND cleaned_at IS NULL;
