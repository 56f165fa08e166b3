-- Steps of executors are found by the beginning of their queue's name, whatever the collation of the database.
CREATE INDEX segue_steps_outside ON segue_steps (queue COLLATE "C", (-priority), ready_at, run_id, step)
    WHERE status = 'ready' AND gate IS NULL AND executor IS NOT NULL;
CREATE INDEX segue_steps_outside_limited ON segue_steps (queue COLLATE "C", lane COLLATE "C", (-priority), ready_at, run_id, step)
    WHERE status = 'ready' AND gate = 'limit' AND executor IS NOT NULL;
-- A halt is acknowledged: the processes of an executor say up to which one they know what is halted.
CREATE TABLE segue_halts (executor text PRIMARY KEY, epoch bigint NOT NULL);
ALTER TABLE segue_workers ADD COLUMN halts_seen bigint NOT NULL DEFAULT 0;
