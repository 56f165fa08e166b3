-- Pausing and resuming runs. `hold_steps` stands in turn.sql.

-- name: pause_run
-- Runs after `hold_steps`, which waits for a claim in progress: that claim found the run locked and could not mark it
-- as begun.
UPDATE segue_runs SET status = 'paused', started_at = coalesce(started_at,
    (SELECT min(s.started_at) FROM segue_steps s WHERE s.run_id = :run_id AND s.attempt > 0))
WHERE id = :run_id AND status IN ('pending', 'running');

-- name: resume_run
UPDATE segue_runs SET status = CASE WHEN started_at IS NULL THEN 'pending' ELSE 'running' END
WHERE id = :run_id AND status = 'paused' RETURNING status;

-- name: free_steps
-- Each step gets the gate that it would have if the run had not been paused.
UPDATE segue_steps SET gate = CASE WHEN ready_at > :now THEN 'timer' WHEN lane IS NOT NULL THEN 'limit' END
WHERE run_id = :run_id AND status = 'ready' AND gate = 'paused';

-- name: ask_to_end
-- Running steps that have not been asked before.
UPDATE segue_steps SET cancel_requested = true
WHERE run_id = :run_id AND {is_asked_to_end} AND NOT cancel_requested RETURNING step;

-- name: last_event
-- A run has few events; a kind has many.
SELECT at, detail FROM segue_events WHERE run_id = :run_id AND kind || '' = :kind ORDER BY id DESC LIMIT 1;

-- name: check_paused_run
SELECT r.id, 'the run is paused but step ' || s.step || ' may start' FROM segue_runs r
JOIN segue_steps s ON {is_step_of_run}
WHERE r.status = 'paused' AND s.status = 'ready' AND (s.gate IS NULL OR s.gate IN ('timer', 'limit'));

-- name: check_paused_step
SELECT s.run_id, 'step ' || s.step || ' is held, but its run is not paused' FROM segue_runs r
JOIN segue_steps s ON {is_step_of_run} WHERE s.gate = 'paused' AND r.status <> 'paused';
