-- Claims of steps with lanes, on PostgreSQL.
-- Advisory locks, one for each limit and key, held until the end of the transaction, make limits exact across
-- processes. The transaction that has the lock counts running steps in a later statement, which sees everything
-- committed before, and then claims. A transaction that does not get a lock skips those lanes for now; it never waits.
-- These locks need no row and no write.

-- name: waiting_lanes
-- Skips through the index from lane to lane, so the cost depends on the number of lanes, not of steps. A lane from
-- which this worker has just claimed many steps (:deep) begins with as many dead index entries, until a vacuum: the
-- skip leaves it out, and it is read from behind the claimed steps. '~' sorts after every lane.
WITH RECURSIVE deep AS (
    SELECT * FROM unnest(:deep::text[], :ranks::integer[], :sinces::timestamptz[]) AS d(lane, rank, since)
), lanes(lane) AS (
    SELECT :after::text COLLATE "C"
    UNION ALL
    SELECT (SELECT coalesce((
        SELECT s.lane FROM segue_steps s WHERE s.status = 'ready' AND s.gate = 'limit' AND s.queue = :queue
        AND s.lane COLLATE "C" > l.lane AND s.lane COLLATE "C" < coalesce(n.lane, '~')
        ORDER BY s.lane COLLATE "C" LIMIT 1), n.lane)
        FROM (SELECT min(d.lane COLLATE "C") AS lane FROM deep d WHERE d.lane COLLATE "C" > l.lane) n)
    FROM lanes l WHERE l.lane IS NOT NULL
)
SELECT :queue::text, l.lane, h.priority, h.ready_at
FROM lanes l LEFT JOIN deep d ON d.lane = l.lane CROSS JOIN LATERAL (
    SELECT s.priority, s.ready_at FROM segue_steps s
    WHERE s.status = 'ready' AND s.gate = 'limit' AND s.queue = :queue AND s.lane COLLATE "C" = l.lane
    AND ((-s.priority), s.ready_at) >= (coalesce(d.rank, -32000), coalesce(d.since, '-infinity'))
    ORDER BY (-s.priority), s.ready_at LIMIT 1) h
WHERE l.lane > :after::text COLLATE "C" LIMIT :limit;

-- name: waiting_lanes_of_run
SELECT DISTINCT ON (queue, lane COLLATE "C") queue, lane, priority, ready_at FROM segue_steps
WHERE status = 'ready' AND gate = 'limit' AND run_id::text = :run_id
ORDER BY queue, lane COLLATE "C", (-priority), ready_at;

-- name: peek
-- What a claim of steps without lanes would get; used to divide the free slots between steps with and without lanes.
SELECT priority, ready_at FROM segue_steps
WHERE status = 'ready' AND gate IS NULL AND queue = :queue AND task = ANY(:tasks::text[])
AND ((-priority), ready_at) >= (:rank::integer, :since::timestamptz)
ORDER BY (-priority), ready_at, run_id, step LIMIT :limit;

-- name: peek_of_run
SELECT priority, ready_at FROM segue_steps
WHERE status = 'ready' AND gate IS NULL AND queue = :queue AND run_id::text = :run_id AND task = ANY(:tasks::text[])
ORDER BY (-priority), ready_at, run_id, step LIMIT :limit;

-- name: claim_of_run_on
WITH picked AS (
    SELECT run_id, step FROM segue_steps
    WHERE status = 'ready' AND gate IS NULL AND queue = :queue AND run_id::text = :run_id AND task = ANY(:tasks::text[])
    ORDER BY (-priority), ready_at, run_id, step LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE segue_steps s SET status = 'running', attempt = s.attempt + 1, worker_id = :worker_id, started_at = :now
FROM picked p WHERE s.run_id = ANY(ARRAY[p.run_id]) AND s.step = p.step
RETURNING {claimed_columns};

-- name: claim_lane
-- Claims one priority: later entries of the lane must first be compared with other lanes.
WITH picked AS (
    SELECT run_id, step FROM segue_steps
    WHERE status = 'ready' AND gate = 'limit' AND queue = :queue AND lane COLLATE "C" = :lane
    AND (-priority) = :rank::integer AND ready_at >= :since AND (:run_id::text IS NULL OR run_id::text = :run_id)
    ORDER BY ready_at, run_id, step LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE segue_steps s SET status = 'running', gate = NULL, attempt = s.attempt + 1, worker_id = :worker_id, started_at = :now
FROM picked p WHERE s.run_id = ANY(ARRAY[p.run_id]) AND s.step = p.step
RETURNING {claimed_columns};

-- name: limits_named
SELECT name, concurrency, rate, period, burst FROM segue_limits WHERE name = ANY(:names::text[]);

-- name: declared_limits
SELECT name, concurrency, rate, period, burst, source, in_code FROM segue_limits WHERE name = ANY(:names::text[]);

-- name: binding_limits
-- Limits that apply to steps without lanes: limits of queues, and of tasks whose code does not name them.
SELECT name FROM segue_limits
WHERE NOT in_code AND (name = ANY(:names::text[]) OR (:every_queue AND strpos(name, 'queue:') > 0));

-- name: lock_limits
SELECT o.name, o.key FROM unnest(:names::text[], :keys::text[]) AS o(name, key)
WHERE pg_try_advisory_xact_lock(hashtextextended('limit' || chr(31) || o.name || chr(31) || o.key, 7361736));

-- name: buckets
-- One index lookup for each: a plan made while the table was empty would read the whole table for each.
SELECT o.name, o.key, k.full_at, k.taken_at FROM unnest(:names::text[], :keys::text[]) AS o(name, key)
CROSS JOIN LATERAL (SELECT b.full_at, b.taken_at FROM segue_limit_keys b WHERE b.name = o.name AND b.key = o.key LIMIT 1) k;

-- name: put_buckets
-- The caller holds the locks.
INSERT INTO segue_limit_keys (name, key, full_at, taken_at)
SELECT o.name, o.key, o.full_at, :now
FROM unnest(:names::text[], :keys::text[], :full_at::timestamptz[]) AS o(name, key, full_at)
ON CONFLICT (name, key) DO UPDATE SET full_at = excluded.full_at, taken_at = excluded.taken_at;

-- name: shares
SELECT o.queue, o.key, t.weight, t.served, t.floor FROM unnest(:queues::text[], :keys::text[]) AS o(queue, key)
CROSS JOIN LATERAL (SELECT b.weight, b.served, b.floor FROM segue_shares b
    WHERE b.queue = o.queue AND b.key = o.key LIMIT 1) t;

-- name: count_shares
-- Skips rows that another transaction is writing; the next claim counts them.
INSERT INTO segue_shares AS t (queue, key, served, floor, served_at)
SELECT o.queue, o.key, o.floor + o.amount, o.floor, :now
FROM unnest(:queues::text[], :keys::text[], :amounts::float8[], :floors::float8[]) AS o(queue, key, amount, floor)
WHERE pg_try_advisory_xact_lock(hashtextextended('turn' || chr(31) || o.queue || chr(31) || o.key, 7361736))
ON CONFLICT (queue, key) DO UPDATE SET served = greatest(t.served, excluded.floor) + excluded.served - excluded.floor,
    floor = greatest(t.floor, excluded.floor), served_at = excluded.served_at
RETURNING t.queue, t.key;

-- name: lock_share
-- For callers that may wait, so that claims need not.
SELECT pg_advisory_xact_lock(hashtextextended('turn' || chr(31) || :queue || chr(31) || :key, 7361736));

-- name: full_buckets
SELECT name, key FROM (
    SELECT name, key FROM segue_limit_keys WHERE full_at < :now ORDER BY full_at LIMIT :limit) k
WHERE pg_try_advisory_xact_lock(hashtextextended('limit' || chr(31) || name || chr(31) || key, 7361736));

-- name: idle_shares
SELECT queue, key FROM (
    SELECT queue, key FROM segue_shares WHERE weight IS NULL AND served_at < :before ORDER BY served_at LIMIT :limit) t
WHERE pg_try_advisory_xact_lock(hashtextextended('turn' || chr(31) || queue || chr(31) || key, 7361736));

-- name: waiting_runs
-- Skips runs that another transaction holds: an admission never waits, so that it may follow any operation.
SELECT id FROM segue_runs
WHERE limit_name = :name AND limit_key = :key AND limit_name IS NOT NULL AND finished_at IS NULL AND admitted_at IS NULL
AND status IN ('pending', 'running') AND intent IS NULL AND outcome IS NULL AND steps > 0 AND (run_at IS NULL OR run_at <= :now)
ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED;

-- name: limits_of_runs
SELECT DISTINCT limit_name, limit_key FROM segue_runs WHERE id = ANY(:ids::uuid[]) AND limit_name IS NOT NULL
ORDER BY limit_name, limit_key;
