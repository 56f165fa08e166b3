-- Schedules and their ticks. Who changes a schedule or decides a tick of it holds the schedule's row.

-- name: schedule_columns
-- A part: as `read_schedule` wants them.
name, workflow, plan, tick_argument, arguments, expression, timezone, anchor_at, starts_at, ends_at, jitter, is_active, overlap, catch_up, catch_up_window, tags, source, problem, next_tick, due_at, created_at, updated_at;

-- name: schedule_row
SELECT {schedule_columns} FROM segue_schedules WHERE name = :name;

-- name: list_schedules
SELECT {schedule_columns} FROM segue_schedules
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
-- Not `updated_at`: that is what people and code change.
UPDATE segue_schedules SET next_tick = :next_tick, due_at = :due_at, is_queueing = is_queueing OR :queued,
    problem = NULL
WHERE name = :name;

-- name: set_schedule_problem
-- A row back: there was none before, or there is none any more. One that is known stays as it was told first.
UPDATE segue_schedules SET problem = CAST(:problem AS text)
WHERE name = :name AND (problem IS NULL) <> (CAST(:problem AS text) IS NULL) RETURNING name;

-- name: end_queue
UPDATE segue_schedules SET is_queueing = false WHERE name = :name;

-- name: begin_queue
UPDATE segue_schedules SET is_queueing = true WHERE name = :name;

-- Ticks ------------------------------------------------------------------------------------------------------------

-- name: put_tick
-- Invariant: one tick, one run. A row back: it is the caller's to start. What was skipped may be started by a backfill.
INSERT INTO segue_ticks (schedule, tick, status, reason, run_id, is_open, decided_at)
VALUES (:name, :tick, :status, :reason, :run_id, :is_open, :now)
ON CONFLICT (schedule, tick) DO UPDATE
SET status = excluded.status, reason = excluded.reason, run_id = excluded.run_id, is_open = excluded.is_open,
    decided_at = excluded.decided_at
WHERE segue_ticks.status = 'skipped' AND :anew
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
-- With runs that have not ended; a tick that is open may be of one that has.
SELECT t.tick, t.run_id FROM segue_ticks t JOIN segue_runs r ON r.id = t.run_id
WHERE t.schedule = :name AND t.is_open AND t.status = 'started' AND r.finished_at IS NULL ORDER BY t.tick LIMIT :limit;

-- name: first_queued_tick
SELECT tick FROM segue_ticks WHERE schedule = :name AND is_open AND status = 'queued' ORDER BY tick LIMIT 1;

-- name: reopen_tick
-- The run goes on, so its tick counts again when the next one asks whether it overlaps.
UPDATE segue_ticks SET is_open = true WHERE run_id = :run_id AND status = 'started';

-- name: tick_columns
-- A part: ticks with what became of their runs.
SELECT t.tick, t.status, t.reason, t.run_id, t.decided_at, r.status FROM segue_ticks t LEFT JOIN segue_runs r ON r.id = t.run_id;

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
SELECT t.run_id, 'tick ' || t.tick || ' of schedule ' || t.schedule || ' is queued, but nobody looks at the queue'
FROM segue_ticks t JOIN segue_schedules s ON s.name = t.schedule WHERE t.status = 'queued' AND NOT (t.is_open AND s.is_queueing);
