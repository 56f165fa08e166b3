-- Values that lie in a payload store: what the rows of runs refer to, so that unused payloads can be deleted.
CREATE TABLE segue_payloads (
    reference TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    stored_at TEXT NOT NULL,  -- when a run first used it
    may_be_unused INTEGER NOT NULL DEFAULT 1  -- to be looked at by the sweep: it is new, or a run that used it was deleted
) WITHOUT ROWID;
CREATE INDEX segue_payloads_maybe_unused ON segue_payloads (stored_at) WHERE may_be_unused;
CREATE TABLE segue_payload_uses (
    run_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    PRIMARY KEY (run_id, reference)
) WITHOUT ROWID;
CREATE INDEX segue_payload_uses_reference ON segue_payload_uses (reference);
