-- Schedules: what differs are lists and locks. Subqueries are values where a join could compare every tick with every run,
-- see postgres.sql.

-- name: tasks_compared
-- A fragment: by its bytes. Thousands of long lists would take long to compare as a person sorts them.
tasks COLLATE "C"

-- name: is_tick_of_schedule
-- A fragment. Why it is not `=` stands in postgres.sql.
t.schedule = ANY(ARRAY[s.name])

-- name: hold_schedule
-- People wait for this lock; the leader skips a locked schedule and returns to it later.
SELECT {schedule_columns} FROM segue_schedules WHERE name = :name FOR UPDATE;

-- name: take_schedule
SELECT {schedule_columns} FROM segue_schedules WHERE name = :name FOR UPDATE SKIP LOCKED;

-- name: is_not_deferred
-- A fragment: the schedule is not deferred, or was changed since it was. `:aside` is JSON, [[name, updated_at] ...].
(name, updated_at) NOT IN (SELECT a ->> 0, (a ->> 1)::timestamptz FROM json_array_elements(:aside::json) AS a);

-- name: next_schedule
-- When the next tick is due that this process can start: the schedule has a plan, or this process knows the workflow.
SELECT min(due_at) FROM segue_schedules
WHERE is_active AND (plan IS NOT NULL OR workflow = ANY(:known::text[])) AND {is_not_deferred};

-- name: due_schedules
SELECT {schedule_columns} FROM segue_schedules
WHERE is_active AND due_at <= :due AND (plan IS NOT NULL OR workflow = ANY(:known::text[])) AND {is_not_deferred}
ORDER BY due_at LIMIT :limit;

-- name: next_queued
-- Returns now if a queued tick may start and this process can start it.
SELECT :now WHERE EXISTS (SELECT 1 FROM segue_schedules s
    WHERE s.is_queueing AND (s.plan IS NOT NULL OR s.workflow = ANY(:known::text[])) AND {is_not_deferred}
    AND 0 = (SELECT count(*) FROM segue_ticks t WHERE t.schedule = s.name AND t.is_open AND t.status = 'started'
        AND 1 = (SELECT 1 FROM segue_runs r WHERE r.id = t.run_id AND r.finished_at IS NULL)));

-- name: startable_queues
SELECT {schedule_columns} FROM segue_schedules s
WHERE s.is_queueing AND (s.plan IS NOT NULL OR s.workflow = ANY(:known::text[])) AND {is_not_deferred}
AND 0 = (SELECT count(*) FROM segue_ticks t WHERE t.schedule = s.name AND t.is_open AND t.status = 'started'
    AND 1 = (SELECT 1 FROM segue_runs r WHERE r.id = t.run_id AND r.finished_at IS NULL))
ORDER BY s.name LIMIT :limit;

-- name: hold_ended_ticks
-- Locks them before they are closed: a retry that reopens one now is waited for, and `close_ended_ticks` then sees it.
SELECT run_id FROM segue_ticks t WHERE t.schedule = :name AND t.is_open AND t.status = 'started'
AND 0 = (SELECT count(*) FROM segue_runs r WHERE r.id = t.run_id AND r.finished_at IS NULL) FOR UPDATE;

-- name: close_ended_ticks
-- Leaves only the few relevant ticks open, however many there have been.
UPDATE segue_ticks SET is_open = false
WHERE schedule = :name AND is_open AND status = 'started' AND run_id = ANY(:ids::uuid[])
AND 0 = (SELECT count(*) FROM segue_runs r WHERE r.id = segue_ticks.run_id AND r.finished_at IS NULL);
