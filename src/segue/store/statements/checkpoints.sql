-- What tasks record inside their steps. Only the current attempt of a step can write: each statement looks at its row.

-- name: own_step
-- A fragment. The row stays as it is until the record is committed: SQLite has only one writer.
SELECT run_id, step, attempt FROM segue_steps
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_running};

-- name: put_checkpoint
-- No row returned: the attempt is not the current one, or this record is there already.
INSERT INTO segue_checkpoints (run_id, step, ordinal, kind, name, fingerprint, attempt, value, started_at, due_at, finished_at)
SELECT mine.run_id, mine.step, CAST(:ordinal AS integer), :kind, :name, :fingerprint, mine.attempt, CAST(:value AS text),
    {bound_started_at}, {bound_due_at}, {bound_finished_at}
FROM ({own_step}) mine WHERE true ON CONFLICT (run_id, step, ordinal) DO NOTHING RETURNING ordinal;

-- name: count_checkpoints
SELECT step, count(*) FROM segue_checkpoints WHERE run_id = :run_id GROUP BY step;

-- name: end_checkpoint
-- A wait ends: with a message or a default, or, without a value, because its time is over.
UPDATE segue_checkpoints SET value = CAST(:value AS text), finished_at = :now
WHERE run_id = :run_id AND step = :step AND ordinal = :ordinal AND finished_at IS NULL
AND 1 = (SELECT count(*) FROM ({own_step}) mine) RETURNING ordinal;

-- name: give_message
-- The same for a message that is sent while the step waits.
UPDATE segue_checkpoints SET value = :value, finished_at = :now
WHERE run_id = :run_id AND step = :step AND ordinal = :ordinal AND finished_at IS NULL;

-- name: wake_suspended
-- A step of a paused run waits on. A running one has not been suspended yet, and looks at its record then.
UPDATE segue_steps SET gate = CASE WHEN gate = 'paused' THEN gate WHEN lane IS NOT NULL THEN 'limit' END, ready_at = :now,
    event = NULL
WHERE run_id = :run_id AND step = :step AND status = 'ready' AND gate IN ('timer', 'paused');

-- name: suspend_step
-- The attempt has ended because its task sleeps or waits: this counts neither as a failure nor as a loss, and former
-- losses are forgotten.
UPDATE segue_steps SET status = 'ready', gate = coalesce(CAST(:gate AS text), CASE WHEN lane IS NOT NULL THEN 'limit' END),
    ready_at = :ready_at, event = CAST(:event AS text), losses = 0, error = NULL, worker_id = NULL, cancel_requested = false,
    sent_until = NULL
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_live};

-- name: checkpoint_columns
ordinal, kind, name, fingerprint, attempt, value, started_at, due_at, finished_at;

-- name: checkpoints_of
SELECT {checkpoint_columns} FROM segue_checkpoints
WHERE run_id = :run_id AND step = :step AND ordinal > :after ORDER BY ordinal LIMIT :limit;

-- name: last_checkpoint
SELECT {checkpoint_columns} FROM segue_checkpoints WHERE run_id = :run_id AND step = :step ORDER BY ordinal DESC LIMIT 1;

-- name: checkpoint_waiting
-- The step that has waited longest for this message inside its task.
SELECT c.step, c.ordinal, s.name, c.started_at FROM segue_checkpoints c
JOIN segue_steps s ON s.run_id = c.run_id AND s.step = c.step
WHERE c.run_id = :run_id AND c.name = :name AND c.kind = 'wait' AND c.finished_at IS NULL
AND s.status IN ('ready', 'running', 'sent') ORDER BY c.started_at, c.step LIMIT 1;

-- name: wait_of_task
SELECT started_at, due_at FROM segue_checkpoints
WHERE run_id = :run_id AND step = :step AND kind = 'wait' AND finished_at IS NULL;

-- name: fork_checkpoints
-- In the new run no attempt has made them.
INSERT INTO segue_checkpoints (run_id, step, ordinal, kind, name, fingerprint, attempt, value, started_at, due_at, finished_at)
SELECT :new_id, step, ordinal, kind, name, fingerprint, 0, value, started_at, due_at, finished_at FROM segue_checkpoints WHERE run_id = :run_id;

-- name: discard_checkpoints
DELETE FROM segue_checkpoints WHERE run_id = :run_id AND {among};

-- name: prune_some_checkpoints
DELETE FROM segue_checkpoints WHERE run_id = :run_id AND step >= :first AND step < :end;

-- name: check_checkpoint_gap
SELECT c.run_id, 'the checkpoints of step ' || c.step || ' are not numbered without a gap' FROM segue_checkpoints c
GROUP BY c.run_id, c.step HAVING count(*) <> max(c.ordinal) + 1;

-- name: check_checkpoint_of_no_step
-- An older version that deletes a run leaves them behind.
SELECT c.run_id, 'there are checkpoints of step ' || c.step || ', which does not exist' FROM (
    SELECT DISTINCT run_id, step FROM segue_checkpoints) c
WHERE 0 = (SELECT count(*) FROM segue_steps s WHERE s.run_id = c.run_id AND s.step = c.step)
AND c.run_id = (SELECT r.id FROM segue_runs r WHERE r.id >= c.run_id ORDER BY r.id LIMIT 1);

-- name: check_open_checkpoint_is_last
SELECT c.run_id, 'step ' || c.step || ' went on although it waits for ' || c.name FROM segue_checkpoints c
WHERE c.kind = 'wait' AND c.finished_at IS NULL AND 0 < (
    SELECT count(*) FROM segue_checkpoints l WHERE l.run_id = c.run_id AND l.step = c.step AND l.ordinal > c.ordinal);

-- name: check_suspended_message_not_taken
SELECT c.run_id, 'step ' || c.step || ' waits for ' || c.name || ' inside its task, which was sent' FROM segue_checkpoints c
WHERE c.kind = 'wait' AND c.finished_at IS NULL AND 0 < (
    SELECT count(*) FROM segue_messages m WHERE m.run_id = c.run_id AND m.name = c.name AND m.taken_by IS NULL)
AND 'ready' = (SELECT s.status FROM segue_steps s WHERE s.run_id = c.run_id AND s.step = c.step);
