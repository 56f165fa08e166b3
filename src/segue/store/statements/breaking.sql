-- Ends runs whose rows cannot be processed, and finds which sessions hold rows of a run.

-- name: break_steps
UPDATE segue_steps SET status = CASE WHEN step = :step THEN 'failed' ELSE 'cancelled' END,
    error = CASE WHEN step = :step THEN CAST(:error AS text) ELSE error END, gate = NULL, finished_at = :now
WHERE run_id = :run_id AND status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled');

-- name: break_run
UPDATE segue_runs SET status = 'failed', outcome = 'failed', error = :error, finished_at = :now WHERE id = :run_id;
