-- Steps that a running step added to its own run: a try that is repeated finds what it added before.
ALTER TABLE segue_steps ADD COLUMN added text;  -- of the first step of an addition: which step, which try, what
CREATE UNIQUE INDEX segue_steps_added ON segue_steps (run_id, added) WHERE added IS NOT NULL;
