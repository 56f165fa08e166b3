-- Alarms: times at which a process must look at a run or step. They are hints; the rows of the run are authoritative.

-- name: due_alarms
SELECT run_id, step, kind, due_at, seconds FROM segue_alarms WHERE due_at <= :now AND {is_known_alarm} AND {is_in_scope}
ORDER BY due_at LIMIT :limit;

-- name: next_alarm
-- Spent alarms are parked at the end of time.
SELECT min(due_at) FROM segue_alarms WHERE {is_known_alarm};

-- name: is_known_alarm
-- Unknown kinds come from a newer version, which handles them itself.
kind IN ('deadline', 'late_start', 'late_end', 'schedule_to_start', 'wait');

-- name: move_alarm
UPDATE segue_alarms SET due_at = :due_at WHERE run_id = :run_id AND step = :step AND kind = :kind;

-- name: drop_alarm
DELETE FROM segue_alarms WHERE run_id = :run_id AND step = :step AND kind = :kind;

-- name: rest_alarms
-- The alarms of one run that are due.
UPDATE segue_alarms SET due_at = :due_at WHERE run_id = :run_id AND due_at <= :now AND {is_known_alarm};

-- name: alarm_subject
-- The run, and the step if the alarm is about one. A step that is retried counts from its first attempt; suspended
-- attempts have no rows, but what they recorded has.
SELECT r.status, r.started_at, r.finished_at, r.admitted_at, r.fail_fast,
    s.status, s.gate, s.attempt, s.name, s.queue, s.ready_at, s.finished_at, s.hook, s.may_fail,
    coalesce((SELECT min(b.started_at) FROM (
        SELECT a.started_at FROM segue_attempts a WHERE a.run_id = s.run_id AND a.step = s.step
        UNION ALL SELECT c.started_at FROM segue_checkpoints c
        WHERE c.run_id = s.run_id AND c.step = s.step AND c.ordinal = 0) b), s.started_at),
    s.event
FROM segue_runs r LEFT JOIN segue_steps s ON s.run_id = r.id AND s.step = :step WHERE r.id = :run_id;

-- name: has_event
SELECT 1 FROM segue_events WHERE run_id = :run_id AND kind || '' = :kind AND coalesce(step, -1) = :step LIMIT 1;
