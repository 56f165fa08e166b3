-- Limits, rates and turns: what claims of steps with lanes need, and what people say of limits.

-- name: put_limit
-- What a person says counts, whatever the code says.
INSERT INTO segue_limits (name, concurrency, rate, period, burst, source, updated_at)
VALUES (:name, :concurrency, :rate, :period, :burst, 'api', :now)
ON CONFLICT (name) DO UPDATE SET concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period,
    burst = excluded.burst, source = 'api', updated_at = excluded.updated_at;

-- name: declare_limit
-- Said only when something else stands there, so that starts do not wait for each other.
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
INSERT INTO segue_turns (queue, key, weight, served_at) VALUES (:queue, :key, :weight, :now)
ON CONFLICT (queue, key) DO UPDATE SET weight = excluded.weight;

-- name: list_turns
SELECT queue, key, weight, served, served_at FROM segue_turns ORDER BY queue, key LIMIT :limit;

-- name: taken_by_lanes
-- Who holds places now. Counted when it is asked, never kept: a place cannot leak, and one whose worker is lost is held
-- until its step is taken away from it.
SELECT queue, lane, count(*) FROM segue_steps
WHERE status IN ('running', 'sent') AND lane IS NOT NULL GROUP BY queue, lane;

-- name: taken_by_all
-- With steps that have no lane: for limits that bind them, too.
SELECT queue, task, lane, count(*) FROM segue_steps WHERE status = 'running' GROUP BY queue, task, lane;

-- name: waiting_by_lanes
SELECT queue, lane, count(*) FROM segue_steps WHERE status = 'ready' AND gate = 'limit' GROUP BY queue, lane;

-- name: waiting_queues_of_run
SELECT DISTINCT queue FROM segue_steps WHERE run_id = :run_id AND status = 'ready';

-- name: holders
-- What runs, and so may hold places: for people.
SELECT s.run_id, s.name, s.queue, s.task, s.lane, s.started_at, w.name FROM segue_steps s
LEFT JOIN segue_workers w ON w.id = s.worker_id
WHERE s.status = 'running' ORDER BY s.started_at LIMIT :limit;

-- name: lane_of_step
SELECT lane FROM segue_steps WHERE run_id = :run_id AND step = :step;

-- name: close_lane
-- The results that its keys depend on are there: it becomes ready like any other step.
UPDATE segue_steps SET planned_lane = lane, lane = :lane, is_join = false, status = 'ready', ready_at = :ready_at, gate = :gate
WHERE run_id = :run_id AND step = :step AND status = 'blocked' AND is_join;

-- name: lane_to_close
SELECT s.name, s.hook, s.may_fail, r.fail_fast, s.delay, s.ready_at, s.attempt
FROM segue_steps s JOIN segue_runs r ON r.id = s.run_id WHERE s.run_id = :run_id AND s.step = :step;

-- name: drop_bucket
-- A bucket that is full is as good as none.
DELETE FROM segue_limit_keys WHERE name = :name AND key = :key AND full_at < :now;

-- name: drop_turn
DELETE FROM segue_turns WHERE queue = :queue AND key = :key AND weight IS NULL AND served_at < :before;

-- Admission: runs of a workflow that may not all be under way at once ---------------------------------------------------

-- name: count_admitted
SELECT count(*) FROM segue_runs
WHERE limit_name = :name AND limit_key = :key AND finished_at IS NULL AND limit_name IS NOT NULL AND admitted_at IS NOT NULL;

-- name: runs_by_limit
SELECT limit_name, count(admitted_at), count(*) - count(admitted_at),
    count(DISTINCT CASE WHEN admitted_at IS NOT NULL THEN limit_key END)
FROM segue_runs WHERE limit_name IS NOT NULL AND finished_at IS NULL GROUP BY limit_name;

-- name: admitted_runs
SELECT id, key, status, admitted_at FROM segue_runs
WHERE limit_name = :name AND limit_key = :key AND finished_at IS NULL AND limit_name IS NOT NULL AND admitted_at IS NOT NULL
ORDER BY admitted_at LIMIT :limit;

-- name: count_waiting_before
SELECT count(*) FROM segue_runs
WHERE limit_name = :name AND limit_key = :key AND finished_at IS NULL AND limit_name IS NOT NULL AND admitted_at IS NULL
AND id < :before;

-- name: limit_of_run
SELECT limit_name, limit_key, admitted_at FROM segue_runs WHERE id = :run_id;

-- name: admit_run
UPDATE segue_runs SET admitted_at = :now WHERE id = :run_id;

-- name: set_run_limit
UPDATE segue_runs SET limit_name = :name, limit_key = :key WHERE id = :run_id AND admitted_at IS NULL;

-- name: hold_unadmitted
-- After a run was changed by hand: what became ready waits, if the run does.
UPDATE segue_steps SET gate = 'admission'
WHERE run_id = :run_id AND status = 'ready' AND (gate IS NULL OR gate IN ('timer', 'limit')) AND EXISTS (
    SELECT 1 FROM segue_runs r WHERE r.id = :run_id AND r.limit_name IS NOT NULL AND r.admitted_at IS NULL
    AND r.intent IS NULL AND r.outcome IS NULL);

-- name: next_admission
SELECT CASE WHEN EXISTS (SELECT 1 FROM segue_runs
    WHERE limit_name IS NOT NULL AND finished_at IS NULL AND admitted_at IS NULL) THEN :now END;

-- name: open_admission
UPDATE segue_steps SET gate = CASE WHEN ready_at > :now THEN 'timer' WHEN lane IS NOT NULL THEN 'limit' END
WHERE run_id = :run_id AND status = 'ready' AND gate = 'admission'
RETURNING step;

-- name: held_joins
-- Joins without parents, of a run that waited: they are passed when it is admitted.
SELECT step FROM segue_steps
WHERE run_id = :run_id AND status = 'blocked' AND is_join AND waiting_on = 0 AND hook IS NULL ORDER BY step;

-- name: waiting_limit_after
SELECT limit_name, limit_key FROM segue_runs
WHERE limit_name IS NOT NULL AND finished_at IS NULL AND admitted_at IS NULL
AND (limit_name, limit_key) > (:name, :key)
ORDER BY limit_name, limit_key LIMIT 1;

-- name: check_admitted_step
SELECT s.run_id, 'step ' || s.step || ' may start though its run was not admitted' FROM segue_runs r
JOIN segue_steps s ON s.run_id = r.id
WHERE r.limit_name IS NOT NULL AND r.finished_at IS NULL AND r.admitted_at IS NULL AND r.intent IS NULL AND r.outcome IS NULL
AND (s.status = 'running' OR (s.status = 'ready' AND (s.gate IS NULL OR s.gate IN ('timer', 'limit'))));

-- name: check_admission_gate
SELECT s.run_id, 'step ' || s.step || ' waits for an admission that its run has, or needs not' FROM segue_steps s
JOIN segue_runs r ON r.id = s.run_id
WHERE s.gate = 'admission' AND (r.limit_name IS NULL OR r.admitted_at IS NOT NULL);

-- name: check_limit_gate
SELECT s.run_id, 'step ' || s.step || ' waits for limits and has no lane, or need not wait' FROM segue_steps s
WHERE s.status = 'ready' AND ((s.lane IS NULL AND s.gate = 'limit') OR (s.lane IS NOT NULL AND s.gate IS NULL));
