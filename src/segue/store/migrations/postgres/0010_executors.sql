-- Steps of executors that end without being sent: callers may wait for a result by the executor's own ids.
ALTER TABLE segue_steps ADD COLUMN mirrored_at timestamptz;  -- when the executor's own result of a step that did not run was written
CREATE INDEX segue_steps_unmirrored ON segue_steps (executor)
    WHERE handle IS NOT NULL AND mirrored_at IS NULL AND status IN ('skipped', 'cancelled');
