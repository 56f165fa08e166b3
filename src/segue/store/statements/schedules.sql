-- Schedules and their ticks. A transaction that changes a schedule or decides one of its ticks holds the schedule's
-- row.

-- name: schedule_columns
-- A fragment: the columns that `read_schedule` expects.
name, workflow, plan, tick_argument, arguments, expression, timezone, anchor_at, starts_at, ends_at, jitter, is_active, overlap, catch_up, catch_up_window, tags, source, problem, next_tick, due_at, created_at, updated_at;

-- name: schedule_row
SELECT {schedule_columns} FROM segue_schedules WHERE name = :name;

-- name: list_schedules
SELECT {schedule_columns} FROM segue_schedules
WHERE (CAST(:workflow AS text) IS NULL OR workflow = :workflow) ORDER BY name;

-- name: schedules_shown
-- Each with its last tick.
SELECT {schedule_columns}, {tick_fields} FROM segue_schedules s LEFT JOIN segue_ticks t ON {is_tick_of_schedule}
AND t.tick = (SELECT l.tick FROM segue_ticks l WHERE l.schedule = s.name ORDER BY l.tick DESC LIMIT 1)
WHERE (CAST(:workflow AS text) IS NULL OR workflow = :workflow) ORDER BY name;

-- name: insert_schedule
INSERT INTO segue_schedules ({schedule_columns})
VALUES (:name, :workflow, :plan, :tick_argument, :arguments, :expression, :timezone, :anchor_at, :starts_at, :ends_at,
    :jitter, :is_active, :overlap, :catch_up, :catch_up_window, :tags, :source, NULL, :next_tick, :due_at, :now, :now)
ON CONFLICT (name) DO NOTHING RETURNING name;

-- name: update_schedule
UPDATE segue_schedules SET workflow = :workflow, plan = :plan, tick_argument = :tick_argument, arguments = :arguments,
    expression = :expression, timezone = :timezone, anchor_at = :anchor_at, starts_at = :starts_at, ends_at = :ends_at,
    jitter = :jitter, is_active = :is_active, overlap = :overlap, catch_up = :catch_up,
    catch_up_window = :catch_up_window, tags = :tags, problem = NULL, next_tick = :next_tick, due_at = :due_at,
    updated_at = :now
WHERE name = :name;

-- name: delete_schedule
DELETE FROM segue_schedules WHERE name = :name;

-- name: advance_schedule
-- Leaves `updated_at` alone: it records changes by people and code.
UPDATE segue_schedules SET next_tick = :next_tick, due_at = :due_at, is_queueing = is_queueing OR :queued,
    problem = NULL
WHERE name = :name;

-- name: set_schedule_problem
-- A row returned: the schedule had no problem before, or has none now. A known problem keeps its first description.
UPDATE segue_schedules SET problem = CAST(:problem AS text)
WHERE name = :name AND (problem IS NULL) <> (CAST(:problem AS text) IS NULL) RETURNING name;

-- name: end_queue
UPDATE segue_schedules SET is_queueing = false WHERE name = :name;

-- name: begin_queue
UPDATE segue_schedules SET is_queueing = true WHERE name = :name;

-- Ticks ------------------------------------------------------------------------------------------------------------

-- name: put_tick
-- Invariant: one tick, one run. A row returned: the caller is to start it. A backfill may start a skipped tick.
INSERT INTO segue_ticks (schedule, tick, status, reason, run_id, is_open, decided_at)
VALUES (:name, :tick, :status, :reason, :run_id, :is_open, :now)
ON CONFLICT (schedule, tick) DO UPDATE
SET status = excluded.status, reason = excluded.reason, run_id = excluded.run_id, is_open = excluded.is_open,
    decided_at = excluded.decided_at
WHERE segue_ticks.status = 'skipped' AND :replaces_skipped
RETURNING tick;

-- name: begin_tick
UPDATE segue_ticks SET status = 'started', reason = NULL, run_id = :run_id, decided_at = :now
WHERE schedule = :name AND tick = :tick AND status = 'queued' RETURNING tick;

-- name: skip_queued_tick
UPDATE segue_ticks SET status = 'skipped', reason = :reason, is_open = false, decided_at = :now
WHERE schedule = :name AND tick = :tick AND status = 'queued';

-- name: skip_queued_ticks
UPDATE segue_ticks SET status = 'skipped', reason = :reason, is_open = false, decided_at = :now
WHERE schedule = :name AND is_open AND status = 'queued' AND tick < :before;

-- name: live_ticks
-- Ticks whose runs have not ended; an open tick may belong to a run that has.
SELECT t.tick, t.run_id FROM segue_ticks t WHERE t.schedule = :name AND t.is_open AND t.status = 'started'
AND 1 = (SELECT 1 FROM segue_runs r WHERE r.id = t.run_id AND r.finished_at IS NULL) ORDER BY t.tick LIMIT :limit;

-- name: first_queued_tick
SELECT tick FROM segue_ticks WHERE schedule = :name AND is_open AND status = 'queued' ORDER BY tick LIMIT 1;

-- name: reopen_tick
-- The run continues, so its tick counts again when the next tick checks for an overlap.
UPDATE segue_ticks SET is_open = true WHERE run_id = :run_id AND status = 'started';

-- name: tick_fields
-- A fragment: a tick with the status of its run.
t.tick, t.status, t.reason, t.run_id, t.decided_at,
    (SELECT r.status FROM segue_runs r WHERE r.id >= t.run_id AND r.id <= t.run_id ORDER BY r.id)

-- name: tick_columns
-- A fragment.
SELECT {tick_fields} FROM segue_ticks t;

-- name: tick_row
{tick_columns} WHERE t.schedule = :name AND t.tick = :tick;

-- name: list_ticks
{tick_columns} WHERE t.schedule = :name AND t.tick < :before ORDER BY t.tick DESC LIMIT :limit;

-- name: latest_tick
{tick_columns} WHERE t.schedule = :name ORDER BY t.tick DESC LIMIT 1;

-- name: ticks_between
{tick_columns} WHERE t.schedule = :name AND t.tick >= :first AND t.tick <= :last;

-- Invariants --------------------------------------------------------------------------------------------------------

-- name: check_tick_without_run
SELECT t.run_id, 'tick ' || t.tick || ' of schedule ' || t.schedule || ' is started but has no run, or has one and is not'
FROM segue_ticks t WHERE (t.status = 'started') <> (t.run_id IS NOT NULL);

-- name: check_run_of_two_ticks
SELECT t.run_id, 'the run is of more than one tick' FROM segue_ticks t
WHERE t.run_id IS NOT NULL GROUP BY t.run_id HAVING count(*) > 1;

-- name: check_closed_tick
SELECT t.run_id, 'the run has not ended, but its tick no longer counts' FROM segue_ticks t JOIN segue_runs r ON r.id = t.run_id
WHERE t.status = 'started' AND NOT t.is_open AND r.finished_at IS NULL;

-- name: check_queue_forgotten
SELECT t.run_id, 'tick ' || t.tick || ' of schedule ' || t.schedule || ' is queued, but its schedule is not marked as queueing'
FROM segue_ticks t JOIN segue_schedules s ON s.name = t.schedule WHERE t.status = 'queued' AND NOT (t.is_open AND s.is_queueing);

-- Whether a worker can execute what a schedule started ----------------------------------------------------------------

-- name: ready_tasks
-- Tasks of a run that a worker may claim now. The first steps are enough.
SELECT DISTINCT task FROM segue_steps
WHERE run_id = :run_id AND step < 10000 AND status = 'ready' AND (gate IS NULL OR gate = 'limit') AND task IS NOT NULL;

-- name: tasks_of_workers
-- Tasks of live workers, and of workers seen recently, which may be restarting. Many workers have the same tasks.
SELECT DISTINCT {tasks_compared} AS tasks,
    CASE WHEN status IN ('running', 'stopping') AND lease_until >= :now AND pool <> 'inline' THEN 1 ELSE 0 END AS is_alive
FROM segue_workers WHERE namespace = :namespace
AND (heartbeat_at > :seen_since OR (status IN ('running', 'stopping') AND lease_until >= :now));

-- name: able_processes
-- All that decides whether the schedules of a namespace can be done: what workers and the code of live processes define,
-- and whether a process does the chores.
SELECT 'tasks' AS what, workers.tasks AS name, workers.is_alive AS count FROM ({tasks_of_workers}) workers
UNION ALL SELECT 'unknown code', NULL, unknown.count FROM ({workers_of_unknown_code}) unknown
UNION ALL SELECT 'workflow', workflows.name, 1 FROM ({live_workflows}) workflows
UNION ALL SELECT 'code', code.version, 1 FROM ({live_code}) code
UNION ALL SELECT 'lead', l.host, 1 FROM segue_leader l WHERE l.name = :lead AND l.lease_until > :now;
