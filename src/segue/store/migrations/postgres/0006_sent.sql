-- Steps of executors: what has to be known of a step that runs outside. All null for a step that workers claim.
ALTER TABLE segue_steps ADD COLUMN executor text;      -- who runs it, or ran it last
ALTER TABLE segue_steps ADD COLUMN spec text;          -- JSON: what the executor needs besides the arguments
ALTER TABLE segue_steps ADD COLUMN handle text;        -- what the executor calls the attempt that was sent last
ALTER TABLE segue_steps ADD COLUMN fenced boolean;     -- whether its executor asks before it begins (null: it does)
ALTER TABLE segue_steps ADD COLUMN sent_at timestamptz;
ALTER TABLE segue_steps ADD COLUMN sent_until timestamptz;  -- Invariant: set while it is sent; if it has not begun by then, look
CREATE INDEX segue_steps_sent ON segue_steps (executor, sent_until) WHERE status = 'sent';
