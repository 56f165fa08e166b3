-- How long ended runs are kept, and their deletion.

-- name: retention_rules
SELECT workflow, status, max_age, max_count FROM segue_retention ORDER BY workflow, status;

-- name: put_retention_rule
INSERT INTO segue_retention (workflow, status, max_age, max_count) VALUES (:workflow, :status, :max_age, :max_count)
ON CONFLICT (workflow, status) DO UPDATE SET max_age = excluded.max_age, max_count = excluded.max_count;

-- name: remove_retention_rule
DELETE FROM segue_retention WHERE workflow = :workflow AND status = :status RETURNING workflow;

-- name: workflows_of_runs
-- Skips through the index from one workflow to the next, without reading the runs between.
WITH RECURSIVE found(workflow) AS (
    SELECT min(workflow) FROM segue_runs
    UNION ALL SELECT (SELECT min(r.workflow) FROM segue_runs r WHERE r.workflow > found.workflow) FROM found
    WHERE found.workflow IS NOT NULL)
SELECT workflow FROM found WHERE workflow IS NOT NULL;

-- name: schedules_of_ticks
-- Skips through the index in the same way.
WITH RECURSIVE found(schedule) AS (
    SELECT min(schedule) FROM segue_ticks
    UNION ALL SELECT (SELECT min(t.schedule) FROM segue_ticks t WHERE t.schedule > found.schedule) FROM found
    WHERE found.schedule IS NOT NULL)
SELECT schedule FROM found WHERE schedule IS NOT NULL;

-- name: walk_end
-- Limits how far one transaction reads if it finds only runs that are kept.
SELECT id FROM segue_runs WHERE workflow = :workflow AND id > :since AND id < :horizon ORDER BY id LIMIT 1 OFFSET :walk;

-- name: prune_ticks_of
-- Keeps the latest tick, for display, and ticks that have yet to start or whose runs are active. The age is that of the
-- decision, so that a repeated backfill finds what it started. The outer condition repeats it because a tick may have
-- been decided just now.
DELETE FROM segue_ticks WHERE schedule = :name AND decided_at < :before AND tick IN (
    SELECT t.tick FROM segue_ticks t
    WHERE t.schedule = :name AND t.tick < :before AND t.decided_at < :before AND t.status <> 'queued'
    AND t.tick < (SELECT max(l.tick) FROM segue_ticks l WHERE l.schedule = :name)
    AND 0 = (SELECT count(*) FROM segue_runs r WHERE r.id = t.run_id AND r.finished_at IS NULL)
    ORDER BY t.tick LIMIT :limit)
RETURNING tick;

-- name: prune_events_of_no_run
-- Events of schedules; the events of runs are deleted with their runs.
DELETE FROM segue_events WHERE run_id IS NULL AND id IN (
    SELECT e.id FROM segue_events e WHERE e.run_id IS NULL AND e.namespace = :namespace AND e.id < :before ORDER BY e.id LIMIT :limit)
RETURNING id;

-- name: discard_run
-- The statements that follow delete the run itself, so a run is never half visible.
INSERT INTO segue_discards (run_id, steps) SELECT id, steps FROM segue_runs WHERE id = :run_id;

-- name: take_discard
-- Takes the next steps to be deleted, which then belong to the caller.
UPDATE segue_discards SET next = next + :count WHERE run_id = (SELECT min(d.run_id) FROM segue_discards d)
RETURNING run_id, next - :count, next, steps;

-- name: end_discard
DELETE FROM segue_discards WHERE run_id = :run_id;

-- name: discarded_runs
SELECT run_id FROM segue_discards;

-- name: prune_some_steps
DELETE FROM segue_steps WHERE run_id = :run_id AND step >= :first AND step < :end;

-- name: prune_some_attempts
DELETE FROM segue_attempts WHERE run_id = :run_id AND step >= :first AND step < :end;

-- name: prune_some_progress
DELETE FROM segue_progress WHERE run_id = :run_id AND step >= :first AND step < :end;

-- name: size_of_run
SELECT steps, workflow FROM segue_runs WHERE id = :run_id;

-- name: prunable_runs
-- Ids are ordered by time, so the oldest come first and the walk stops at the horizon.
SELECT r.id, r.steps FROM segue_runs r
WHERE r.id < :horizon AND r.status IN ('succeeded', 'failed', 'cancelled') AND r.finished_at < :before
AND (CAST(:prefix AS text) IS NULL OR {prefix_of_run} = :prefix) ORDER BY r.id LIMIT :limit;
