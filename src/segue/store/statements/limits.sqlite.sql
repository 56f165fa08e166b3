-- Claims of steps with lanes, on SQLite. A transaction has the file to itself, so nothing needs a lock.

-- name: waiting_lanes
-- Skips through the index from lane to lane, so the cost depends on the number of lanes, not of steps.
WITH RECURSIVE lanes(lane) AS (
    SELECT (SELECT s.lane FROM segue_steps s INDEXED BY segue_steps_limited
            WHERE s.status = 'ready' AND s.gate = 'limit' AND s.queue = :queue AND s.lane > :after ORDER BY s.lane LIMIT 1)
    UNION ALL
    SELECT (SELECT s.lane FROM segue_steps s INDEXED BY segue_steps_limited
            WHERE s.status = 'ready' AND s.gate = 'limit' AND s.queue = :queue AND s.lane > l.lane ORDER BY s.lane LIMIT 1)
    FROM lanes l WHERE l.lane IS NOT NULL LIMIT :limit
)
SELECT :queue, l.lane, h.priority, h.ready_at FROM lanes l JOIN segue_steps h ON h.rowid = (
    SELECT s.rowid FROM segue_steps s INDEXED BY segue_steps_limited
    WHERE s.status = 'ready' AND s.gate = 'limit' AND s.queue = :queue AND s.lane = l.lane
    ORDER BY s.priority DESC, s.ready_at LIMIT 1)
WHERE l.lane IS NOT NULL;

-- name: waiting_lanes_of_run
SELECT queue, lane, priority, ready_at FROM (
    SELECT queue, lane, priority, ready_at,
        row_number() OVER (PARTITION BY queue, lane ORDER BY priority DESC, ready_at) AS place
    FROM segue_steps INDEXED BY segue_steps_limited WHERE status = 'ready' AND gate = 'limit' AND run_id = :run_id)
WHERE place = 1 ORDER BY queue, lane;

-- name: peek
SELECT priority, ready_at FROM segue_steps
WHERE status = 'ready' AND gate IS NULL AND queue = :queue AND task IN (SELECT value FROM json_each(:tasks))
ORDER BY priority DESC, ready_at, run_id, step LIMIT :limit;

-- name: peek_of_run
SELECT priority, ready_at FROM segue_steps INDEXED BY segue_steps_ready
WHERE status = 'ready' AND gate IS NULL AND queue = :queue AND run_id = :run_id
AND task IN (SELECT value FROM json_each(:tasks))
ORDER BY priority DESC, ready_at, step LIMIT :limit;

-- name: claim_of_run_on
UPDATE segue_steps SET status = 'running', attempt = attempt + 1, worker_id = :worker_id, started_at = :now
WHERE rowid IN (
    SELECT rowid FROM segue_steps INDEXED BY segue_steps_ready
    WHERE status = 'ready' AND gate IS NULL AND queue = :queue AND run_id = :run_id
    AND task IN (SELECT value FROM json_each(:tasks))
    ORDER BY priority DESC, ready_at, step LIMIT :limit)
RETURNING {claimed_columns};

-- name: claim_lane
-- Claims one priority: later entries of the lane must first be compared with other lanes.
UPDATE segue_steps SET status = 'running', gate = NULL, attempt = attempt + 1, worker_id = :worker_id, started_at = :now
WHERE rowid IN (
    SELECT rowid FROM segue_steps INDEXED BY segue_steps_limited
    WHERE status = 'ready' AND gate = 'limit' AND queue = :queue AND lane = :lane AND priority = -:rank
    AND (:run_id IS NULL OR run_id = :run_id)
    ORDER BY ready_at, run_id, step LIMIT :limit)
RETURNING {claimed_columns};

-- name: limits_named
SELECT name, concurrency, rate, period, burst FROM segue_limits WHERE name IN (SELECT value FROM json_each(:names));

-- name: declared_limits
SELECT name, concurrency, rate, period, burst, source, in_code FROM segue_limits WHERE name IN (SELECT value FROM json_each(:names));

-- name: binding_limits
-- Limits that apply to steps without lanes: limits of queues, and of tasks whose code does not name them.
SELECT name FROM segue_limits
WHERE NOT in_code AND (name IN (SELECT value FROM json_each(:names)) OR (:every_queue AND instr(name, 'queue:') > 0));

-- name: lock_limits
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:pairs);

-- name: buckets
SELECT b.name, b.key, b.full_at, b.taken_at FROM json_each(:pairs) p
CROSS JOIN segue_limit_keys b ON b.name = json_extract(p.value, '$[0]') AND b.key = json_extract(p.value, '$[1]');

-- name: put_buckets
INSERT INTO segue_limit_keys (name, key, full_at, taken_at)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), :now
FROM json_each(:rows) WHERE true
ON CONFLICT (name, key) DO UPDATE SET full_at = excluded.full_at, taken_at = excluded.taken_at;

-- name: shares
SELECT b.queue, b.key, b.weight, b.served, b.floor FROM json_each(:pairs) p
CROSS JOIN segue_shares b ON b.queue = json_extract(p.value, '$[0]') AND b.key = json_extract(p.value, '$[1]');

-- name: count_shares
INSERT INTO segue_shares (queue, key, served, floor, served_at)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
    json_extract(value, '$[3]') + json_extract(value, '$[2]'), json_extract(value, '$[3]'), :now
FROM json_each(:rows) WHERE true
ON CONFLICT (queue, key) DO UPDATE SET served = max(served, excluded.floor) + excluded.served - excluded.floor,
    floor = max(floor, excluded.floor), served_at = excluded.served_at
RETURNING queue, key;

-- name: lock_share
SELECT 1 WHERE :queue <> :key OR true;

-- name: full_buckets
SELECT name, key FROM segue_limit_keys WHERE full_at < :now ORDER BY full_at LIMIT :limit;

-- name: idle_shares
SELECT queue, key FROM segue_shares WHERE weight IS NULL AND served_at < :before ORDER BY served_at LIMIT :limit;

-- name: waiting_runs
SELECT id FROM segue_runs
WHERE limit_name = :name AND limit_key = :key AND limit_name IS NOT NULL AND finished_at IS NULL AND admitted_at IS NULL
AND status IN ('pending', 'running') AND intent IS NULL AND outcome IS NULL AND steps > 0 AND (run_at IS NULL OR run_at <= :now)
ORDER BY id LIMIT :limit;

-- name: limits_of_runs
SELECT DISTINCT limit_name, limit_key FROM segue_runs
WHERE id IN (SELECT value FROM json_each(:ids)) AND limit_name IS NOT NULL ORDER BY limit_name, limit_key;
