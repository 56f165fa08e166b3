-- Steps of executors: what has to be known of a step that runs outside. All null for a step that workers claim.
ALTER TABLE segue_steps ADD COLUMN executor TEXT;      -- who runs it, or ran it last
ALTER TABLE segue_steps ADD COLUMN spec TEXT;          -- JSON: what the executor needs besides the arguments
ALTER TABLE segue_steps ADD COLUMN handle TEXT;        -- what the executor calls the attempt that was sent last
ALTER TABLE segue_steps ADD COLUMN fenced INTEGER;     -- whether its executor asks before it begins (null: it does)
ALTER TABLE segue_steps ADD COLUMN sent_at TEXT;
ALTER TABLE segue_steps ADD COLUMN sent_until TEXT;  -- Invariant: set while it is sent; if it has not begun by then, look
CREATE INDEX segue_steps_sent ON segue_steps (executor, sent_until) WHERE status = 'sent';
