-- The plain turn (engine/plain.py): successes whose consequences are plain, recorded in the exchange that commits them.
-- SQLite has no exchanges to save.

-- name: finish_plain
-- columns: run_id uuid, step int, attempt int, from_status text, status text, result text, error text, seconds float8
-- Like `finish`, for successes that only change counters, start steps and end runs. All consequences are read before
-- anything is written, because the commit is already on its way. A run is not changed (`odd`) if it is paused, limited
-- or about to end, or if a join must be passed, a step skipped, a timer set or a hook started. The run is locked, and so
-- are steps that are changed without that lock (sent ones), so what was read stays true. Returns how many steps were recorded and started, which runs ended, and which steps were
-- recorded if not all were.
WITH mine AS (
    SELECT s.run_id, s.step, s.place, s.children, o.result, o.seconds
    FROM :batch CROSS JOIN LATERAL (SELECT run_id, step, ctid AS place, children FROM segue_steps
        WHERE run_id = o.run_id AND step = o.step AND attempt = o.attempt AND status = o.from_status OFFSET 0) s
), edges AS (
    SELECT m.run_id, c.child, count(*)::int AS total
    FROM mine m CROSS JOIN LATERAL unnest(m.children) AS c(child) GROUP BY m.run_id, c.child
{finish_plain_end}

-- name: finish_plain_one
-- Like `finish_plain`, for a single step, as in a chain.
WITH mine AS (
    SELECT s.run_id, s.step, s.ctid AS place, s.children, :result::text AS result, :seconds::float8 AS seconds
    FROM segue_steps s WHERE s.run_id = :run_id AND s.step = :step AND s.attempt = :attempt AND s.status = :from_status
), edges AS (
    SELECT m.run_id, c.child, 1 AS total FROM mine m CROSS JOIN LATERAL unnest(m.children) AS c(child)
{finish_plain_end}

-- name: finish_plain_link
-- Like `finish_plain_one`, for a step whose only child is known from its claim: a fifth less work for the server.
WITH done AS (
    UPDATE segue_steps s SET status = 'succeeded', result = :result, seconds = coalesce(:seconds, s.seconds),
        finished_at = :now, gate = NULL
    WHERE s.run_id = :run_id AND s.step = :step AND s.attempt = :attempt AND s.status = :from_status
    AND s.children = ARRAY[:child::integer]
    AND EXISTS (SELECT 1 FROM segue_runs r WHERE r.id = :run_id
        AND r.intent IS NULL AND r.outcome IS NULL AND r.limit_name IS NULL AND r.status <> 'paused')
    AND EXISTS (SELECT 1 FROM segue_steps k WHERE k.run_id = :run_id AND k.step = :child AND k.status = 'blocked'
        AND k.rule <> 'any_succeeded' AND (k.waiting_on > 1 OR NOT (k.is_join OR k.rule IN ('any_failed', 'some_failed')
            OR k.failed_above > 0 OR k.skipped_above > 0 OR k.delay IS NOT NULL OR k.ready_at IS NOT NULL)))
    RETURNING 1
)
UPDATE segue_steps k SET waiting_on = k.waiting_on - 1, status = CASE WHEN k.waiting_on = 1 THEN 'ready' ELSE 'blocked' END,
    ready_at = CASE WHEN k.waiting_on = 1 THEN :now::timestamptz ELSE k.ready_at END,
    gate = CASE WHEN k.waiting_on = 1 AND k.lane IS NOT NULL THEN 'limit' END
WHERE k.run_id = :run_id AND k.step = :child AND EXISTS (SELECT 1 FROM done)
RETURNING 1, (k.status = 'ready')::int, ARRAY[]::text[], NULL::text[];

-- name: finish_plain_end
), kids AS (
    SELECT s.run_id, s.place, s.waiting_on - e.total AS waiting_on, s.lane,
        s.rule = 'any_succeeded' OR (s.waiting_on = e.total AND (s.is_join OR s.rule IN ('any_failed', 'some_failed')
            OR s.failed_above > 0 OR s.skipped_above > 0 OR s.delay IS NOT NULL OR s.ready_at IS NOT NULL)) AS is_odd
    FROM edges e CROSS JOIN LATERAL (SELECT ctid AS place, * FROM segue_steps
        WHERE run_id = e.run_id AND step = e.child AND status = 'blocked' OFFSET 0) s
), runs AS (
    SELECT r.id, r.ctid AS place, r.waiting_on - coalesce(e.total, 0) AS waiting_on, e.total,
        r.intent IS NOT NULL OR r.outcome IS NOT NULL OR r.limit_name IS NOT NULL OR r.status = 'paused'
        OR (r.waiting_on = e.total AND (r.has_hooks
            OR EXISTS (SELECT 1 FROM segue_steps f WHERE f.run_id = r.id AND f.status = 'failed'))) AS is_odd
    FROM segue_runs r LEFT JOIN edges e ON e.run_id = r.id AND e.child = -1
    WHERE r.id = ANY(:runs::uuid[])
), odd AS (
    SELECT id FROM runs WHERE is_odd
    UNION ALL SELECT run_id FROM kids WHERE is_odd
    UNION ALL SELECT run_id FROM mine WHERE cardinality(children) > 5000
), done AS (
    UPDATE segue_steps s SET status = 'succeeded', result = m.result, seconds = coalesce(m.seconds, s.seconds),
        finished_at = :now, gate = NULL
    FROM mine m WHERE s.ctid = m.place AND m.run_id <> ALL (ARRAY(SELECT id FROM odd))
    RETURNING s.run_id, s.step
), released AS (
    UPDATE segue_steps s SET waiting_on = k.waiting_on,
        status = CASE WHEN k.waiting_on = 0 THEN 'ready' ELSE 'blocked' END,
        ready_at = CASE WHEN k.waiting_on = 0 THEN :now::timestamptz ELSE s.ready_at END,
        gate = CASE WHEN k.waiting_on = 0 AND k.lane IS NOT NULL THEN 'limit' END
    FROM kids k WHERE s.ctid = k.place AND k.run_id <> ALL (ARRAY(SELECT id FROM odd))
    RETURNING s.status
), counted AS (
    UPDATE segue_runs r SET waiting_on = c.waiting_on,
        status = CASE WHEN c.waiting_on = 0 THEN 'succeeded' ELSE r.status END,
        finished_at = CASE WHEN c.waiting_on = 0 THEN :now::timestamptz ELSE r.finished_at END,
        started_at = CASE WHEN c.waiting_on = 0 AND r.started_at IS NULL THEN  -- its claim found the run locked
            (SELECT min(s.started_at) FROM segue_steps s WHERE s.run_id = r.id) ELSE r.started_at END
    FROM runs c WHERE r.ctid = c.place AND r.id = ANY(ARRAY[c.id]) AND c.total IS NOT NULL AND c.id <> ALL (ARRAY(SELECT id FROM odd))
    RETURNING r.id, r.waiting_on
)
SELECT (SELECT count(*) FROM done)::int, (SELECT count(*) FROM released WHERE status = 'ready')::int,
    ARRAY(SELECT id::text FROM counted WHERE waiting_on = 0),
    CASE WHEN (SELECT count(*) FROM done) < :count::int THEN ARRAY(SELECT run_id || ' ' || step FROM done) END;
