-- Alarms: lists as JSON, batches row by row.

-- name: put_alarms
-- columns: run_id uuid, step int, kind text, due_at time, seconds float
INSERT INTO segue_alarms (run_id, step, kind, due_at, seconds) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (run_id, step, kind) DO UPDATE SET due_at = excluded.due_at, seconds = excluded.seconds;

-- name: prune_alarms
DELETE FROM segue_alarms WHERE run_id IN (SELECT value FROM json_each(:ids));

-- name: prune_messages
DELETE FROM segue_messages WHERE run_id IN (SELECT value FROM json_each(:ids));

-- name: prune_events
DELETE FROM segue_events WHERE run_id IN (SELECT value FROM json_each(:ids));
