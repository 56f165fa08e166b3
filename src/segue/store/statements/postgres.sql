-- What PostgreSQL says its own way: batches come as one array for each column, and move in one statement.
-- The engine locks the runs of a batch first (lock_runs), in the order of their ids, so statements that change steps of a
-- run never meet and no two turns can deadlock; a claim takes only rows that nobody holds.

-- name: insert_runs
-- columns: id uuid, workflow text, key text, waiting_on int, steps int, fail_fast bool, has_hooks bool, result_expr text, created_at timestamptz, arguments text, tags text, metadata text, limit_name text, limit_key text
INSERT INTO segue_runs (id, workflow, key, status, waiting_on, steps, fail_fast, has_hooks, result_expr, created_at,
    arguments, tags, metadata, limit_name, limit_key)
SELECT id, workflow, key, 'pending', waiting_on, steps, fail_fast, has_hooks, result_expr, created_at,
    arguments, tags, metadata, limit_name, limit_key FROM :batch
ON CONFLICT DO NOTHING;

-- name: insert_steps
-- A start that is repeated because its answer was lost finds its run and all of its steps there: nothing conflicts halfway.
-- columns: run_id uuid, step int, scope int, name text, task text, is_join bool, status text, gate text, queue text, priority int, ready_at timestamptz, delay float8, rule text, waiting_on int, children text, hook text, may_fail bool, args text, holes text, when_expr text, policy text, result_expr text, lane text, metadata text
INSERT INTO segue_steps (run_id, step, scope, name, task, is_join, status, gate, queue, priority, ready_at, delay, rule,
    waiting_on, children, hook, may_fail, args, holes, when_expr, policy, result_expr, lane, metadata)
SELECT run_id, step, scope, name, task, is_join, status, gate, queue, priority, ready_at, delay, rule,
    waiting_on, children::integer[], hook, may_fail, args, holes, when_expr, policy, result_expr, lane, metadata
FROM :batch ON CONFLICT DO NOTHING;

-- name: wake
-- A notification takes a lock that all commits share, so it is sent only when a worker sleeps.
SELECT pg_notify('segue', '') WHERE EXISTS (SELECT 1 FROM segue_workers WHERE sleeping AND status = 'running');

-- name: lock_runs
SELECT id, status, intent, outcome, fail_fast, limit_name, admitted_at
FROM segue_runs WHERE id = ANY(:ids::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: finish
-- columns: run_id uuid, step int, attempt int, from_status text, status text, result text, error text, seconds float8
-- One statement for a whole batch: write what is final, tell each child once what its parents did, judge its join rule
-- (as model.judge_join does), count down the runs, end those that waited for nothing else when nothing failed in them.
WITH done AS (
    UPDATE segue_steps s SET status = o.status, result = o.result, error = coalesce(o.error, s.error),
        seconds = coalesce(o.seconds, s.seconds), finished_at = :now, gate = NULL
    FROM :batch WHERE s.run_id = o.run_id AND s.step = o.step AND s.attempt = o.attempt AND s.status = o.from_status
    RETURNING s.run_id, s.step, s.status, s.children
), edges AS (
    SELECT d.run_id, c.child, count(*)::int AS total,
        (count(*) FILTER (WHERE d.status IN ('failed', 'cancelled')))::int AS failed,
        (count(*) FILTER (WHERE d.status = 'skipped'))::int AS skipped
    FROM done d CROSS JOIN LATERAL unnest(d.children) AS c(child) GROUP BY d.run_id, c.child
{finish_end}

-- name: finish_one
-- The same for a single step, as in a chain: there, starting the larger statement costs more than its work.
WITH done AS (
    UPDATE segue_steps s SET status = :status, result = :result, error = coalesce(:error, s.error),
        seconds = coalesce(:seconds, s.seconds), finished_at = :now, gate = NULL
    WHERE s.run_id = :run_id AND s.step = :step AND s.attempt = :attempt AND s.status = :from_status
    RETURNING s.run_id, s.step, s.status, s.children
), edges AS (
    SELECT d.run_id, c.child, 1 AS total, (d.status IN ('failed', 'cancelled'))::int AS failed,
        (d.status = 'skipped')::int AS skipped
    FROM done d CROSS JOIN LATERAL unnest(d.children) AS c(child)
{finish_end}

-- name: finish_end
-- What both have in common. `kids` and `counts` may be read before they are written: the runs are locked.
), kids AS (
    SELECT s.run_id, s.step, s.attempt, s.is_join, s.waiting_on - e.total AS waiting_on,
        s.failed_above + e.failed AS failed, s.skipped_above + e.skipped AS skipped,
        greatest(:now::timestamptz + make_interval(secs => coalesce(s.delay, 0)), s.ready_at) AS due, s.lane,
        CASE
            WHEN s.rule = 'any_succeeded' AND e.total > e.failed + e.skipped THEN 'start'
            WHEN s.rule = 'any_failed' AND s.failed_above + e.failed > 0 THEN 'start'
            WHEN s.waiting_on - e.total > 0 THEN 'wait'
            WHEN s.rule IN ('any_succeeded', 'any_failed') THEN 'skip'
            WHEN s.rule = 'all_succeeded' AND s.failed_above + e.failed + s.skipped_above + e.skipped > 0 THEN 'skip'
            WHEN s.rule = 'none_failed' AND s.failed_above + e.failed > 0 THEN 'skip'
            ELSE 'start'
        END AS verdict
    FROM edges e JOIN segue_steps s ON s.run_id = e.run_id AND s.step = e.child
    WHERE s.status = 'blocked'
), told AS (
    UPDATE segue_steps s SET waiting_on = k.waiting_on, failed_above = k.failed, skipped_above = k.skipped,
        status = CASE WHEN k.verdict = 'start' AND NOT k.is_join THEN 'ready' ELSE 'blocked' END,
        ready_at = CASE WHEN k.verdict = 'start' AND NOT k.is_join THEN k.due ELSE s.ready_at END,
        gate = CASE WHEN k.verdict = 'start' AND NOT k.is_join THEN coalesce(
            (SELECT CASE WHEN r.limit_name IS NOT NULL AND r.admitted_at IS NULL AND r.intent IS NULL AND r.outcome IS NULL
                THEN 'admission' WHEN r.status = 'paused' THEN 'paused' END FROM segue_runs r WHERE r.id = k.run_id),
            CASE WHEN k.due > :now::timestamptz THEN 'timer' WHEN k.lane IS NOT NULL THEN 'limit' END) END
    FROM kids k WHERE s.run_id = k.run_id AND s.step = k.step
), counts AS (
    SELECT r.id, r.waiting_on - e.total AS waiting_on,
        r.waiting_on = e.total AND r.intent IS NULL AND r.outcome IS NULL AND NOT r.has_hooks
        AND NOT EXISTS (SELECT 1 FROM done d WHERE d.run_id = r.id AND d.status = 'failed')
        AND NOT EXISTS (SELECT 1 FROM segue_steps f WHERE f.run_id = r.id AND f.status = 'failed') AS is_plain_end
    FROM edges e JOIN segue_runs r ON r.id = e.run_id
    WHERE e.child = -1
), counted AS (
    UPDATE segue_runs r SET waiting_on = c.waiting_on,
        status = CASE WHEN c.is_plain_end THEN 'succeeded' ELSE r.status END,
        finished_at = CASE WHEN c.is_plain_end THEN :now::timestamptz ELSE r.finished_at END
    FROM counts c WHERE r.id = c.id
)
SELECT NULL::uuid, (SELECT count(*) FROM done)::int, (SELECT count(*) FROM kids WHERE verdict = 'start' AND NOT is_join)::int, 'counts'
UNION ALL SELECT run_id, step, attempt, CASE verdict WHEN 'skip' THEN 'skip' ELSE 'join' END
    FROM kids WHERE verdict = 'skip' OR (verdict = 'start' AND is_join)
UNION ALL SELECT id, -1, 0, CASE WHEN is_plain_end THEN 'ended' ELSE 'quiet' END FROM counts WHERE waiting_on = 0;

-- name: forget_late_parents
-- A step that started as soon as one of its parents had ended, and whose task returned a plan, waits for that plan alone:
-- parents that end later must not count down what it waits for. Their edge becomes -2 - step, which is no step's number;
-- only who asks whether a failure was taken on reads it back.
UPDATE segue_steps p SET children = array_replace(p.children, :step, -2 - :step)
WHERE p.run_id = :run_id AND p.scope <> :step AND :step = ANY(p.children);

-- name: due_timers
UPDATE segue_steps s SET gate = CASE WHEN s.lane IS NOT NULL THEN 'limit' END
FROM (SELECT run_id, step FROM segue_steps WHERE status = 'ready' AND gate = 'timer' AND ready_at <= :now
      ORDER BY ready_at LIMIT :limit FOR UPDATE SKIP LOCKED) t
WHERE s.run_id = t.run_id AND s.step = t.step;

-- name: claim
-- Behind (rank, since) lie the index entries of what was claimed before, dead until a vacuum: the walk starts there, so
-- that a claim costs the same however many there are. `ClaimCursor` looks from the beginning now and then.
WITH picked AS (
    SELECT run_id, step FROM segue_steps
    WHERE status = 'ready' AND gate IS NULL AND queue = :queue AND task = ANY(:tasks::text[])
    AND ((-priority), ready_at) >= (:rank::integer, :since::timestamptz)
    ORDER BY (-priority), ready_at, run_id, step LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE segue_steps s SET status = 'running', attempt = s.attempt + 1, worker_id = :worker_id, started_at = :now
FROM picked p WHERE s.run_id = p.run_id AND s.step = p.step
RETURNING s.run_id, s.step, s.attempt, s.name, s.task, s.args, s.holes, s.when_expr, s.policy, s.failures, s.priority, s.ready_at, s.queue;

-- name: claim_of_run
-- For working one run in this process. Few steps are ready at a time, but the run may have any number: the cast keeps the
-- planner from walking those and leaves it the index on ready steps. The cursor is as in `claim`.
WITH picked AS (
    SELECT run_id, step FROM segue_steps
    WHERE status = 'ready' AND gate IS NULL AND run_id::text = :run_id AND task = ANY(:tasks::text[])
    AND ((-priority), ready_at) >= (:rank::integer, :since::timestamptz)
    ORDER BY (-priority), ready_at, run_id, step LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE segue_steps s SET status = 'running', attempt = s.attempt + 1, worker_id = :worker_id, started_at = :now
FROM picked p WHERE s.run_id = p.run_id AND s.step = p.step
RETURNING s.run_id, s.step, s.attempt, s.name, s.task, s.args, s.holes, s.when_expr, s.policy, s.failures, s.priority, s.ready_at, s.queue;

-- name: runs_begin
-- Skips a run that another turn holds: the claim that comes next says it again, and a claim must not wait for a run.
UPDATE segue_runs r SET status = 'running', started_at = :now
FROM (SELECT id FROM segue_runs WHERE id = ANY(:ids::uuid[]) AND status = 'pending' FOR NO KEY UPDATE SKIP LOCKED) p
WHERE r.id = p.id;

-- name: load_results
SELECT step, status, result, is_join, result_expr FROM segue_steps
WHERE run_id = :run_id AND step = ANY(:steps::int[]);

-- name: prune_runs
DELETE FROM segue_runs WHERE id = ANY(:ids::uuid[]);

-- name: prune_steps
DELETE FROM segue_steps WHERE run_id = ANY(:ids::uuid[]);

-- name: prune_attempts
DELETE FROM segue_attempts WHERE run_id = ANY(:ids::uuid[]);

-- name: prune_progress
DELETE FROM segue_progress WHERE run_id = ANY(:ids::uuid[]);

-- name: database_now
SELECT clock_timestamp();

-- name: count_runs
SELECT status, count(*) FROM segue_runs GROUP BY status;
