-- Invariants: each statement lists the rows that break one; `segue db check` runs them. They read whole tables, but only
-- once: from the runs to their steps (`is_step_of_run`), and by subqueries that are values. A plain join or EXISTS may
-- compare all rows with all others, see postgres.sql.

-- name: check_run_ended_early
SELECT r.id, 'the run is final but a step of it is not' FROM segue_runs r
WHERE r.status IN ('succeeded', 'failed', 'cancelled') AND 0 < (
    SELECT count(*) FROM segue_steps s WHERE s.run_id = r.id
    AND s.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled'));

-- name: check_run_never_ends
SELECT r.id, 'every step of the run is final but the run is not' FROM segue_runs r
WHERE r.status NOT IN ('succeeded', 'failed', 'cancelled') AND 0 = (
    SELECT count(*) FROM segue_debounces b WHERE b.run_id = r.id) AND 0 = (
    SELECT count(*) FROM segue_steps s WHERE s.run_id = r.id
    AND s.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled'));

-- name: check_run_waiting_on
SELECT r.id, 'waiting_on of the run does not count its last steps' FROM segue_runs r
WHERE r.status NOT IN ('succeeded', 'failed', 'cancelled') AND r.intent IS NULL AND r.outcome IS NULL AND r.waiting_on <> (
    SELECT count(*) FROM segue_children c WHERE c.run_id = r.id AND c.child = -1 AND 1 = (
        SELECT 1 FROM segue_steps s WHERE s.run_id = c.run_id AND s.step = c.step AND s.hook IS NULL
        AND s.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled')));

-- name: check_step_waiting_on
-- Reads from the edges to the child steps: a run may have any number of both, and children are not indexed.
SELECT run_id, 'waiting_on of step ' || child || ' does not count its parents' FROM (
    SELECT e.run_id, e.child, sum(e.is_open) AS found, (
        SELECT s.waiting_on FROM segue_steps s WHERE s.run_id = e.run_id AND s.step = e.child
        AND s.status = 'blocked' AND s.hook IS NULL AND s.outcome IS NULL) AS expected
    FROM (
        SELECT r.id AS run_id, s.child, coalesce((SELECT 1 FROM segue_steps p WHERE p.run_id = s.run_id AND p.step = s.step
            AND p.hook IS NULL AND p.status NOT IN ('succeeded', 'failed', 'skipped', 'cancelled')), 0) AS is_open
        FROM segue_runs r JOIN segue_children s ON {is_step_of_run}
        WHERE r.finished_at IS NULL AND r.intent IS NULL) e
    GROUP BY e.run_id, e.child) counted
WHERE expected <> found;

-- name: check_step_without_parents
SELECT r.id, 'a step of the run is blocked, and no step leads to it' FROM segue_runs r
WHERE r.finished_at IS NULL AND r.intent IS NULL
AND (r.limit_name IS NULL OR r.admitted_at IS NOT NULL)  -- before its admission no join is passed
AND (SELECT count(*) FROM segue_steps s WHERE s.run_id = r.id AND s.status = 'blocked' AND s.hook IS NULL) <> (
    SELECT count(*) FROM (SELECT DISTINCT c.child FROM segue_children c WHERE c.run_id = r.id) d WHERE 'blocked' = (
        SELECT s.status FROM segue_steps s WHERE s.run_id = r.id AND s.step = d.child AND s.hook IS NULL));

-- name: check_blocked_for_ever
SELECT s.run_id, 'step ' || s.step || ' is blocked but waits for nothing' FROM segue_runs r
JOIN segue_steps s ON {is_step_of_run}
WHERE s.status = 'blocked' AND s.waiting_on <= 0
AND (r.limit_name IS NULL OR r.admitted_at IS NOT NULL);  -- before its admission no join is passed

-- name: check_ready_join
SELECT s.run_id, 'join ' || s.step || ' is ready; it should have been passed through' FROM segue_steps s
WHERE s.status IN ('ready', 'sent', 'running') AND s.is_join;

-- name: check_step_numbers
SELECT r.id, 'the run says it has ' || (r.steps - r.discarded) || ' steps' FROM segue_runs r
WHERE r.steps - r.discarded <> (SELECT count(*) FROM segue_steps s WHERE s.run_id = r.id);

-- name: check_orphan_step
SELECT s.run_id, 'step ' || s.step || ' is of no run' FROM segue_steps s
WHERE NOT coalesce((SELECT r.id FROM segue_runs r WHERE r.id >= s.run_id ORDER BY r.id LIMIT 1) = s.run_id, false);

-- name: check_run_status
SELECT r.id, 'the run has a status, an intent or an outcome that is none' FROM segue_runs r
WHERE r.status NOT IN ('pending', 'running', 'paused', 'succeeded', 'failed', 'cancelled')
OR r.intent NOT IN ('failed', 'cancelled') OR r.outcome NOT IN ('succeeded', 'failed', 'cancelled');

-- name: check_step_status
SELECT s.run_id, 'step ' || s.step || ' has the status ' || s.status || ', which is none' FROM segue_steps s
WHERE s.status NOT IN ('blocked', 'ready', 'sent', 'running', 'succeeded', 'failed', 'skipped', 'cancelled');

-- name: check_running_without_worker
SELECT s.run_id, 'step ' || s.step || ' runs on no known worker' FROM segue_steps s
WHERE s.status = 'running' AND (s.worker_id IS NOT NULL OR s.executor IS NULL)
AND 0 = (SELECT count(*) FROM segue_workers w WHERE w.id = s.worker_id);

-- name: check_final_without_time
SELECT s.run_id, 'step ' || s.step || ' is final without a time' FROM segue_steps s
WHERE s.status IN ('succeeded', 'failed', 'skipped', 'cancelled') AND s.finished_at IS NULL;

-- name: check_gate
SELECT s.run_id, 'step ' || s.step || ' has a gate but is not ready' FROM segue_steps s
WHERE s.gate IS NOT NULL AND s.status <> 'ready';

-- name: check_failed_run
SELECT r.id, 'the run succeeded over a failure that nothing handled' FROM segue_runs r
WHERE r.status = 'succeeded' AND 0 < (
    SELECT count(*) FROM segue_steps f WHERE f.run_id = r.id AND f.scope = -1 AND f.status = 'failed' AND NOT f.may_fail)
AND 0 = (
    SELECT count(*) FROM segue_steps h WHERE h.run_id = r.id
    AND h.rule IN ('any_failed', 'any_succeeded', 'handler') AND h.status = 'succeeded');
