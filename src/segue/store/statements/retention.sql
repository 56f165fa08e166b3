-- How long what has ended is kept.

-- name: retention_rules
SELECT workflow, status, max_age, max_count FROM segue_retention ORDER BY workflow, status;

-- name: put_retention_rule
INSERT INTO segue_retention (workflow, status, max_age, max_count) VALUES (:workflow, :status, :max_age, :max_count)
ON CONFLICT (workflow, status) DO UPDATE SET max_age = excluded.max_age, max_count = excluded.max_count;

-- name: remove_retention_rule
DELETE FROM segue_retention WHERE workflow = :workflow AND status = :status RETURNING workflow;

-- name: workflows_of_runs
-- From one workflow to the next by the index, without a look at the runs between.
WITH RECURSIVE found(workflow) AS (
    SELECT min(workflow) FROM segue_runs
    UNION ALL SELECT (SELECT min(r.workflow) FROM segue_runs r WHERE r.workflow > found.workflow) FROM found
    WHERE found.workflow IS NOT NULL)
SELECT workflow FROM found WHERE workflow IS NOT NULL;

-- name: schedules_of_ticks
-- Likewise.
WITH RECURSIVE found(schedule) AS (
    SELECT min(schedule) FROM segue_ticks
    UNION ALL SELECT (SELECT min(t.schedule) FROM segue_ticks t WHERE t.schedule > found.schedule) FROM found
    WHERE found.schedule IS NOT NULL)
SELECT schedule FROM found WHERE schedule IS NOT NULL;

-- name: walk_end
-- So far one transaction looks, where runs are kept that nothing is to be done with.
SELECT id FROM segue_runs WHERE workflow = :workflow AND id > :since AND id < :horizon ORDER BY id LIMIT 1 OFFSET :walk;

-- name: prune_ticks_of
-- The latest is kept, to be seen; so is what has still to start, and what counts as running. The time is that of the
-- decision: a backfill that is said again finds what it started. It is asked twice, as one may be decided just now.
DELETE FROM segue_ticks WHERE schedule = :name AND decided_at < :before AND tick IN (
    SELECT t.tick FROM segue_ticks t
    WHERE t.schedule = :name AND t.tick < :before AND t.decided_at < :before AND t.status <> 'queued'
    AND t.tick < (SELECT max(l.tick) FROM segue_ticks l WHERE l.schedule = :name)
    AND NOT EXISTS (SELECT 1 FROM segue_runs r WHERE r.id = t.run_id AND r.finished_at IS NULL)
    ORDER BY t.tick LIMIT :limit)
RETURNING tick;

-- name: prune_events_of_no_run
-- Of schedules; those of runs go with their runs.
DELETE FROM segue_events WHERE run_id IS NULL AND id IN (
    SELECT e.id FROM segue_events e WHERE e.run_id IS NULL AND e.id < :before ORDER BY e.id LIMIT :limit)
RETURNING id;
