-- A halt is acknowledged: the processes of an executor say up to which one they know what is halted.
CREATE TABLE segue_halts (executor TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE segue_workers ADD COLUMN halts_seen INTEGER NOT NULL DEFAULT 0;
