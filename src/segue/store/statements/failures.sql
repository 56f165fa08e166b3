-- Failed attempts as people look at them: grouped by the fingerprint of their error.

-- name: newest_failures
-- So many of the newest, and of these the ones of a namespace.
SELECT a.fingerprint, a.finished_at, a.run_id, a.step, a.attempt FROM (
    SELECT f.fingerprint, f.finished_at, f.run_id, f.step, f.attempt FROM segue_attempts f
    WHERE f.status IN ('failed', 'lost') AND f.finished_at >= :since
    ORDER BY f.finished_at DESC, f.run_id DESC, f.step DESC, f.attempt DESC LIMIT :limit) a
WHERE CAST(:prefix AS text) IS NULL OR (SELECT {prefix_of_run} FROM segue_runs r WHERE r.id = a.run_id) = :prefix
ORDER BY a.finished_at DESC, a.run_id DESC, a.step DESC, a.attempt DESC;

-- name: failure
SELECT s.task, s.name, a.error FROM segue_attempts a
LEFT JOIN segue_steps s ON s.run_id = a.run_id AND s.step = a.step
WHERE a.run_id = :run_id AND a.step = :step AND a.attempt = :attempt;

-- name: failures_alike
-- One transaction ends many attempts of a run at the same time: the place in the list needs their whole key.
SELECT a.run_id, r.workflow, r.key, r.status, a.step, s.name, s.task, a.attempt, a.status, a.worker, a.finished_at, a.error
FROM segue_attempts a
LEFT JOIN segue_runs r ON r.id = a.run_id
LEFT JOIN segue_steps s ON s.run_id = a.run_id AND s.step = a.step
WHERE a.fingerprint = :fingerprint
AND (a.finished_at, a.run_id, a.step, a.attempt) < (:before, :before_run, :before_step, :before_attempt)
AND (CAST(:prefix AS text) IS NULL OR {prefix_of_run} = :prefix)
ORDER BY a.finished_at DESC, a.run_id DESC, a.step DESC, a.attempt DESC LIMIT :limit;

-- name: first_failure_alike
SELECT a.finished_at FROM segue_attempts a WHERE a.fingerprint = :fingerprint ORDER BY a.finished_at LIMIT 1;

-- name: count_failures_alike
SELECT count(*) FROM (SELECT 1 FROM segue_attempts a WHERE a.fingerprint = :fingerprint LIMIT :limit) found;

-- name: alike_of_step
-- The kind of the last failure of a step, and how often there were others: one look for the page of a step.
SELECT a.fingerprint, (SELECT count(*) FROM (
    SELECT 1 FROM segue_attempts b WHERE b.fingerprint = a.fingerprint LIMIT :limit) found),
    (SELECT min(c.finished_at) FROM segue_attempts c WHERE c.fingerprint = a.fingerprint)
FROM segue_attempts a WHERE a.run_id = :run_id AND a.step = :step AND a.fingerprint IS NOT NULL
ORDER BY a.attempt DESC LIMIT 1;
