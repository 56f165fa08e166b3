-- Alarms: batches and lists in PostgreSQL's own types.

-- name: put_alarms
-- columns: run_id uuid, step int, kind text, due_at timestamptz, seconds float8
INSERT INTO segue_alarms (run_id, step, kind, due_at, seconds)
SELECT run_id, step, kind, due_at, seconds FROM :batch
ON CONFLICT (run_id, step, kind) DO UPDATE SET due_at = excluded.due_at, seconds = excluded.seconds;

-- name: prune_alarms
DELETE FROM segue_alarms WHERE run_id = ANY(:ids::uuid[]);

-- name: prune_messages
DELETE FROM segue_messages WHERE run_id = ANY(:ids::uuid[]);

-- name: prune_events
DELETE FROM segue_events WHERE run_id = ANY(:ids::uuid[]);
