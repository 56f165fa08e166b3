-- Limits, rates and fair shares: what claims of steps with lanes need, and what people change.

-- name: put_limit
-- A limit set by a person takes precedence over the code.
INSERT INTO segue_limits (name, concurrency, rate, period, burst, source, updated_at)
VALUES (:name, :concurrency, :rate, :period, :burst, 'api', :now)
ON CONFLICT (name) DO UPDATE SET concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period,
    burst = excluded.burst, source = 'api', updated_at = excluded.updated_at;

-- name: declare_limit
-- Called only when the stored limit differs, so that starts do not wait for each other.
INSERT INTO segue_limits (name, concurrency, rate, period, burst, source, in_code, updated_at)
VALUES (:name, :concurrency, :rate, :period, :burst, 'code', true, :now)
ON CONFLICT (name) DO UPDATE SET in_code = true,
    concurrency = CASE WHEN segue_limits.source = 'api' THEN segue_limits.concurrency ELSE excluded.concurrency END,
    rate = CASE WHEN segue_limits.source = 'api' THEN segue_limits.rate ELSE excluded.rate END,
    period = CASE WHEN segue_limits.source = 'api' THEN segue_limits.period ELSE excluded.period END,
    burst = CASE WHEN segue_limits.source = 'api' THEN segue_limits.burst ELSE excluded.burst END,
    updated_at = excluded.updated_at;

-- name: remove_limit
DELETE FROM segue_limits WHERE name = :name RETURNING name;

-- name: list_limits
SELECT name, concurrency, rate, period, burst, source, in_code FROM segue_limits ORDER BY name;

-- name: put_weight
INSERT INTO segue_shares (queue, key, weight, served_at) VALUES (:queue, :key, :weight, :now)
ON CONFLICT (queue, key) DO UPDATE SET weight = excluded.weight;

-- name: list_shares
SELECT queue, key, weight, served, served_at FROM segue_shares
WHERE CAST(:prefix AS text) IS NULL OR {prefix_of_queue} = :prefix ORDER BY queue, key LIMIT :limit;

-- name: taken_by_lanes
-- The steps that hold places now. Counted on demand, never stored, so a place cannot leak. A lost worker's step keeps
-- its place until it is rescued.
SELECT queue, lane, count(*) FROM segue_steps
WHERE {is_live} AND lane IS NOT NULL GROUP BY queue, lane;

-- name: holds_places
-- The steps that hold places, which are the live ones. One half after the other, as each status has its index.
SELECT run_id, name, queue, task, lane, started_at, worker_id FROM segue_steps WHERE status = 'running'
UNION ALL SELECT run_id, name, queue, task, lane, sent_at, worker_id FROM segue_steps WHERE status = 'sent';

-- name: taken_by_all
-- Includes steps without a lane: limits may apply to them, too. One half after the other, as each status has its index.
SELECT queue, task, lane, count(*) AS count FROM segue_steps WHERE status = 'running' GROUP BY queue, task, lane
UNION ALL SELECT queue, task, lane, count(*) FROM segue_steps WHERE status = 'sent' GROUP BY queue, task, lane;

-- name: places_of_all
-- Who holds places of limits and who waits for them, all in one look: steps by queue, task and lane, runs by limit.
SELECT 'taken' AS what, taken.queue AS name, taken.task AS task, taken.lane AS lane, taken.count AS count, 0 AS waiting, 0 AS keys
FROM ({taken_by_all}) taken
UNION ALL SELECT 'waiting', held.queue, NULL, held.lane, 0, held.count, 0 FROM ({waiting_by_lanes}) held
UNION ALL SELECT 'runs', runs.limit_name, NULL, NULL, runs.count, runs.waiting, runs.keys FROM ({runs_by_limit}) runs;

-- name: waiting_by_lanes
SELECT queue, lane, count(*) AS count FROM segue_steps WHERE status = 'ready' AND gate = 'limit' GROUP BY queue, lane;

-- name: waiting_queues_of_run
SELECT DISTINCT queue FROM segue_steps WHERE run_id = :run_id AND status = 'ready';

-- name: holders
-- Steps that may hold places: for display.
SELECT s.run_id, s.name, s.queue, s.task, s.lane, s.started_at, w.name FROM ({holds_places}) s
LEFT JOIN segue_workers w ON {is_worker_of_step}
ORDER BY s.started_at LIMIT :limit;

-- name: lanes_of_ready_steps
-- From this step on.
SELECT step, lane FROM segue_steps WHERE run_id = :run_id AND step >= :step AND status = 'ready' ORDER BY step LIMIT :limit;

-- name: close_lane
-- The results that its keys depend on are known: the step becomes ready like any other.
UPDATE segue_steps SET planned_lane = lane, lane = :lane, is_join = false, status = 'ready', ready_at = :ready_at, gate = :gate
WHERE run_id = :run_id AND step = :step AND status = 'blocked' AND is_join;

-- name: lane_to_close
SELECT s.name, s.hook, s.may_fail, r.fail_fast, s.delay, s.ready_at, s.attempt
FROM segue_steps s JOIN segue_runs r ON r.id = s.run_id WHERE s.run_id = :run_id AND s.step = :step;

-- name: drop_bucket
-- A full bucket is equivalent to none.
DELETE FROM segue_limit_keys WHERE name = :name AND key = :key AND full_at < :now;

-- name: drop_share
DELETE FROM segue_shares WHERE queue = :queue AND key = :key AND weight IS NULL AND served_at < :before;

-- Admission: runs of a workflow that limits how many are active at once -----------------------------------------------

-- name: count_admitted
SELECT count(*) FROM segue_runs
WHERE limit_name = :name AND limit_key = :key AND finished_at IS NULL AND limit_name IS NOT NULL AND admitted_at IS NOT NULL;

-- name: runs_by_limit
SELECT limit_name, {run_places}
FROM segue_runs WHERE limit_name IS NOT NULL AND finished_at IS NULL GROUP BY limit_name;

-- name: run_limit
-- One limit of runs, with its columns as in `list_limits`.
SELECT l.name, l.concurrency, l.rate, l.period, l.burst, l.source, l.in_code, runs.count, runs.waiting, runs.keys
FROM segue_limits l CROSS JOIN (
    SELECT {run_places} FROM segue_runs WHERE limit_name = :name AND limit_name IS NOT NULL AND finished_at IS NULL) runs
WHERE l.name = :name;

-- name: run_places
-- A fragment: how many runs are admitted, how many wait, and for how many keys runs are admitted.
count(admitted_at) AS count, count(*) - count(admitted_at) AS waiting,
    count(DISTINCT CASE WHEN admitted_at IS NOT NULL THEN limit_key END) AS keys

-- name: admitted_runs
SELECT id, key, status, admitted_at FROM segue_runs
WHERE limit_name = :name AND limit_key = :key AND finished_at IS NULL AND limit_name IS NOT NULL AND admitted_at IS NOT NULL
ORDER BY admitted_at LIMIT :limit;

-- name: count_waiting_before
SELECT count(*) FROM segue_runs
WHERE limit_name = :name AND limit_key = :key AND finished_at IS NULL AND limit_name IS NOT NULL AND admitted_at IS NULL
AND id < :before AND (run_at IS NULL OR run_at <= :now);

-- name: limit_of_run
SELECT limit_name, limit_key, admitted_at, run_at FROM segue_runs WHERE id = :run_id;

-- name: admit_run
UPDATE segue_runs SET admitted_at = :now WHERE id = :run_id;

-- name: set_run_limit
UPDATE segue_runs SET limit_name = :name, limit_key = :key WHERE id = :run_id AND admitted_at IS NULL;

-- name: check_begun_early
-- Steps of finalizers may: of a run that was cancelled before.
SELECT r.id, 'a step began before the run_at of the run' FROM segue_runs r WHERE r.run_at IS NOT NULL AND 0 < (
    SELECT count(*) FROM segue_steps s WHERE s.run_id = r.id AND s.hook IS NULL AND s.started_at < r.run_at);

-- name: set_run_at
UPDATE segue_runs SET run_at = :run_at WHERE id = :run_id;

-- name: hold_unadmitted
-- After a run was changed by hand: if the run waits for its admission, steps that became ready wait, too.
UPDATE segue_steps SET gate = 'admission'
WHERE run_id = :run_id AND status = 'ready' AND (gate IS NULL OR gate IN ('timer', 'limit')) AND EXISTS (
    SELECT 1 FROM segue_runs r WHERE r.id = :run_id AND r.limit_name IS NOT NULL AND r.admitted_at IS NULL
    AND r.intent IS NULL AND r.outcome IS NULL);

-- name: next_admission
-- Now, if a run waits that may begin; otherwise when the next one begins.
SELECT CASE WHEN EXISTS (SELECT 1 FROM segue_runs
    WHERE limit_name IS NOT NULL AND finished_at IS NULL AND admitted_at IS NULL AND (run_at IS NULL OR run_at <= :now))
THEN :now ELSE (SELECT min(run_at) FROM segue_runs
    WHERE limit_name IS NOT NULL AND finished_at IS NULL AND admitted_at IS NULL) END;

-- name: open_admission
UPDATE segue_steps SET gate = CASE WHEN ready_at > :now THEN 'timer' WHEN lane IS NOT NULL THEN 'limit' END
WHERE run_id = :run_id AND status = 'ready' AND gate = 'admission'
RETURNING step;

-- name: held_joins
-- Joins without parents in a run that waited; they are passed when it is admitted.
SELECT step FROM segue_steps
WHERE run_id = :run_id AND status = 'blocked' AND is_join AND waiting_on = 0 AND hook IS NULL ORDER BY step;

-- name: waiting_limit_keys
-- Skips through the index from one limit and key that runs wait for to the next, and tells whether it has a free place.
-- Most have none: those cost one look here and no further statement.
WITH RECURSIVE limit_keys(name, key, place) AS (
    SELECT r.limit_name, r.limit_key, 1 FROM segue_runs r WHERE r.id = coalesce(
        (SELECT q.id FROM segue_runs q WHERE q.limit_name IS NOT NULL AND q.finished_at IS NULL AND q.admitted_at IS NULL
            AND q.limit_name = :name AND q.limit_key > :key ORDER BY q.limit_key LIMIT 1),
        (SELECT q.id FROM segue_runs q WHERE q.limit_name IS NOT NULL AND q.finished_at IS NULL AND q.admitted_at IS NULL
            AND q.limit_name > :name ORDER BY q.limit_name, q.limit_key LIMIT 1))
    UNION ALL
    SELECT r.limit_name, r.limit_key, p.place + 1 FROM limit_keys p JOIN segue_runs r ON r.id = coalesce(
        (SELECT q.id FROM segue_runs q WHERE q.limit_name IS NOT NULL AND q.finished_at IS NULL AND q.admitted_at IS NULL
            AND q.limit_name = p.name AND q.limit_key > p.key ORDER BY q.limit_key LIMIT 1),
        (SELECT q.id FROM segue_runs q WHERE q.limit_name IS NOT NULL AND q.finished_at IS NULL AND q.admitted_at IS NULL
            AND q.limit_name > p.name ORDER BY q.limit_name, q.limit_key LIMIT 1))
    WHERE p.place < :limit
)
SELECT p.name, p.key, l.concurrency IS NULL OR l.concurrency > (
    SELECT count(*) FROM segue_runs a WHERE a.limit_name = p.name AND a.limit_key = p.key AND a.finished_at IS NULL
    AND a.limit_name IS NOT NULL AND a.admitted_at IS NOT NULL)
FROM limit_keys p LEFT JOIN segue_limits l ON l.name = p.name ORDER BY p.place;

-- name: check_admitted_step
SELECT s.run_id, 'step ' || s.step || ' may start though its run was not admitted' FROM segue_runs r
JOIN segue_steps s ON {is_step_of_run}
WHERE r.limit_name IS NOT NULL AND r.finished_at IS NULL AND r.admitted_at IS NULL AND r.intent IS NULL AND r.outcome IS NULL
AND (s.status IN ('running', 'sent') OR (s.status = 'ready' AND (s.gate IS NULL OR s.gate IN ('timer', 'limit'))));

-- name: check_admission_gate
SELECT s.run_id, 'step ' || s.step || ' waits for an admission that its run has, or needs not' FROM segue_runs r
JOIN segue_steps s ON {is_step_of_run}
WHERE s.gate = 'admission' AND (r.limit_name IS NULL OR r.admitted_at IS NOT NULL);

-- name: check_limit_gate
SELECT s.run_id, 'step ' || s.step || ' waits for limits and has no lane, or need not wait' FROM segue_steps s
WHERE s.status = 'ready' AND ((s.lane IS NULL AND s.gate = 'limit') OR (s.lane IS NOT NULL AND s.gate IS NULL));
