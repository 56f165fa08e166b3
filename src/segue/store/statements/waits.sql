-- Steps that wait for a message, and messages that were sent to runs. The caller holds the lock of the run.

-- name: names_waiting
-- Names of messages that no step has taken yet: nearly always none.
SELECT DISTINCT name FROM segue_messages WHERE run_id = :run_id AND taken_by IS NULL;

-- name: next_messages
SELECT position, value FROM segue_messages
WHERE run_id = :run_id AND name = :name AND taken_by IS NULL ORDER BY position LIMIT :limit;

-- name: take_message
UPDATE segue_messages SET taken_by = :step WHERE run_id = :run_id AND position = :position AND taken_by IS NULL;

-- name: find_message
SELECT taken_by FROM segue_messages WHERE run_id = :run_id AND name = :name AND key = :key;

-- name: put_message
-- Computing the position is safe: the lock keeps other transactions from sending to this run.
INSERT INTO segue_messages (run_id, position, name, key, value, sent_at, taken_by) VALUES (
    :run_id, (SELECT coalesce(max(position), -1) + 1 FROM segue_messages WHERE run_id = :run_id), :name, :key, :value,
    :sent_at, :taken_by);

-- name: step_waiting
-- The step that has waited longest.
SELECT step, attempt, name, ready_at FROM segue_steps
WHERE run_id = :run_id AND status = 'ready' AND gate = 'event' AND event = :name ORDER BY ready_at, step LIMIT 1;

-- name: step_name
SELECT name FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: waiting_steps
-- A fragment.
FROM segue_steps s JOIN segue_runs r ON r.id = s.run_id
LEFT JOIN segue_alarms a ON a.run_id = s.run_id AND a.step = s.step AND a.kind = 'wait'
WHERE s.status = 'ready' AND s.gate = 'event' AND (CAST(:prefix AS text) IS NULL OR {prefix_of_run} = :prefix)

-- name: waiting_steps_asked_for
-- A fragment.
SELECT s.run_id, r.workflow, r.key, s.step, s.name AS step_name, s.event, s.ready_at, a.due_at {waiting_steps}
AND (CAST(:workflow AS text) IS NULL OR r.workflow = :workflow) AND (CAST(:name AS text) IS NULL OR s.event = :name)

-- name: waiting_tasks
-- A fragment: the steps that wait inside their tasks.
FROM segue_checkpoints c JOIN segue_steps s ON s.run_id = c.run_id AND s.step = c.step JOIN segue_runs r ON r.id = c.run_id
WHERE c.kind = 'wait' AND c.finished_at IS NULL AND s.status IN ('ready', 'running', 'sent')
AND (CAST(:prefix AS text) IS NULL OR {prefix_of_run} = :prefix)

-- name: waiting_tasks_asked_for
-- A fragment.
SELECT s.run_id, r.workflow, r.key, s.step, s.name AS step_name, c.name, c.started_at, c.due_at {waiting_tasks}
AND (CAST(:workflow AS text) IS NULL OR r.workflow = :workflow) AND (CAST(:name AS text) IS NULL OR c.name = :name)

-- name: list_waits
-- The oldest runs of each kind. The indexes on what waits have this order, so nothing else is read.
SELECT * FROM ({waiting_steps_asked_for} ORDER BY s.run_id, s.event, s.ready_at, s.step LIMIT :limit) g
UNION ALL SELECT * FROM ({waiting_tasks_asked_for} ORDER BY c.run_id, c.name, c.started_at, c.step LIMIT :limit) i;

-- name: waits_after
-- As `list_waits`, from one wait on: those of the run in the order of their steps.
SELECT * FROM ({waiting_steps_asked_for} AND s.run_id >= :after_run AND (s.run_id > :after_run OR s.step > :after_step)
    ORDER BY s.run_id, s.step LIMIT :limit) g
UNION ALL SELECT * FROM ({waiting_tasks_asked_for} AND c.run_id >= :after_run AND (c.run_id > :after_run OR c.step > :after_step)
    ORDER BY c.run_id, c.step LIMIT :limit) i;

-- name: messages_of_run
SELECT position, name, key, value, sent_at, taken_by FROM segue_messages
WHERE run_id = :run_id AND position > :after ORDER BY position LIMIT :limit;

-- name: ends_of_waits
-- From this step on.
SELECT step, due_at FROM segue_alarms
WHERE run_id = :run_id AND step >= :step AND kind = 'wait' ORDER BY step LIMIT :limit;

-- name: check_message_not_taken
SELECT m.run_id, 'step ' || s.step || ' waits for ' || m.name || ', which was sent' FROM segue_messages m
JOIN segue_steps s ON s.run_id = m.run_id AND s.event = m.name AND s.status = 'ready' AND s.gate = 'event'
WHERE m.taken_by IS NULL;

-- name: check_wait_for_nothing
SELECT s.run_id, 'step ' || s.step || ' waits for an event that has no name' FROM segue_steps s
WHERE s.gate = 'event' AND (s.event IS NULL OR s.task <> 'segue.wait_for');
