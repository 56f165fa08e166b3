-- Schedules: what differs are lists and locks.

-- name: tasks_compared
-- A fragment.
tasks

-- name: is_tick_of_schedule
-- A fragment.
t.schedule = s.name

-- name: hold_schedule
-- The transaction already has the write lock.
SELECT {schedule_columns} FROM segue_schedules WHERE name = :name;

-- name: take_schedule
SELECT {schedule_columns} FROM segue_schedules WHERE name = :name;

-- name: is_not_deferred
-- A fragment: the schedule is not deferred, or was changed since it was. `:aside` is JSON, [[name, updated_at] ...].
(name, updated_at) NOT IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:aside));

-- name: next_schedule
-- When the next tick is due that this process can start: the schedule has a plan, or this process knows the workflow.
SELECT min(due_at) FROM segue_schedules
WHERE is_active AND (plan IS NOT NULL OR workflow IN (SELECT value FROM json_each(:known))) AND {is_not_deferred};

-- name: due_schedules
SELECT {schedule_columns} FROM segue_schedules
WHERE is_active AND due_at <= :due AND (plan IS NOT NULL OR workflow IN (SELECT value FROM json_each(:known))) AND {is_not_deferred}
ORDER BY due_at LIMIT :limit;

-- name: next_queued
-- Returns now if a queued tick may start and this process can start it.
SELECT :now WHERE EXISTS (SELECT 1 FROM segue_schedules s
    WHERE s.is_queueing AND (s.plan IS NOT NULL OR s.workflow IN (SELECT value FROM json_each(:known))) AND {is_not_deferred}
    AND NOT EXISTS (SELECT 1 FROM segue_ticks t JOIN segue_runs r ON r.id = t.run_id
        WHERE t.schedule = s.name AND t.is_open AND t.status = 'started' AND r.finished_at IS NULL));

-- name: startable_queues
SELECT {schedule_columns} FROM segue_schedules s
WHERE s.is_queueing AND (s.plan IS NOT NULL OR s.workflow IN (SELECT value FROM json_each(:known))) AND {is_not_deferred}
AND NOT EXISTS (SELECT 1 FROM segue_ticks t JOIN segue_runs r ON r.id = t.run_id
    WHERE t.schedule = s.name AND t.is_open AND t.status = 'started' AND r.finished_at IS NULL)
ORDER BY s.name LIMIT :limit;

-- name: hold_ended_ticks
-- The transaction already has the write lock.
SELECT run_id FROM segue_ticks t WHERE t.schedule = :name AND t.is_open AND t.status = 'started'
AND NOT EXISTS (SELECT 1 FROM segue_runs r WHERE r.id = t.run_id AND r.finished_at IS NULL);

-- name: close_ended_ticks
-- Leaves only the few relevant ticks open, however many there have been.
UPDATE segue_ticks SET is_open = false
WHERE schedule = :name AND is_open AND status = 'started' AND run_id IN (SELECT value FROM json_each(:ids))
AND NOT EXISTS (SELECT 1 FROM segue_runs r WHERE r.id = segue_ticks.run_id AND r.finished_at IS NULL);
