-- Statements that differ on PostgreSQL: a batch is one array for each column, and is written in one statement.
-- The engine first locks the runs of a batch (lock_runs) in the order of their ids. So two statements never change
-- steps of the same run at once, and turns cannot deadlock. A claim takes only unlocked rows.
--
-- Plans must not depend on statistics. The server may have analysed a table while it was empty: it then expects one row,
-- for which reading all of the table costs no more than looking for a row by its key, and it may read all of a table
-- with millions of rows for each row of a batch. Therefore:
--   * A join has `s.run_id = ANY(ARRAY[o.run_id])` instead of `s.run_id = o.run_id`. Both mean the same. But only for
--     `=` does the planner consider to compare all rows of one side with all rows of the other.
--   * Steps given by a list are joined as rows (`chosen_steps`), because `step = ANY(:steps)` may become a filter on all
--     steps of the run. For reopening, which has read all of these already, it may (`among`).
--   * Runs that are looked up by lists and joins have ORDER BY id: `segue_runs_pkey` has that order, and the other
--     index with the id, `segue_runs_workflow`, would be read from end to end.
--   * A subquery that must be looked up for each row is a value (`0 = (SELECT count(*) ...)`, not NOT EXISTS), or has
--     OFFSET 0. Neither becomes a join.
--   * A statement that has read a row, and whose run is locked, finds the row by its ctid when it writes. This is faster
--     as well. It would not do for a table with partitions, each of which has ctids of its own.

-- name: insert_keys
-- Before the runs: a key that is taken keeps its run. In order, so that two starts of many keys never wait in a circle.
-- columns: workflow text, key text, run_id uuid
INSERT INTO segue_keys (workflow, key, run_id) SELECT workflow, key, run_id FROM :batch
ON CONFLICT DO NOTHING;

-- name: insert_runs
-- columns: id uuid, workflow text, key text, waiting_on int, steps int, fail_fast bool, has_hooks bool, result_expr text, created_at timestamptz, arguments text, tags text, metadata text, limit_name text, limit_key text, started_by text
INSERT INTO segue_runs (id, workflow, key, status, waiting_on, steps, fail_fast, has_hooks, result_expr, created_at,
    arguments, tags, metadata, limit_name, limit_key, started_by)
SELECT id, workflow, key, 'pending', waiting_on, steps, fail_fast, has_hooks, result_expr, created_at,
    arguments, tags, metadata, limit_name, limit_key, started_by FROM :batch
ON CONFLICT DO NOTHING;

-- name: insert_steps
-- A start may be repeated because its answer was lost. It finds the run with all of its steps: there is never only a
-- part.
-- columns: run_id uuid, step int, scope int, name text, task text, is_join bool, status text, gate text, queue text, priority int, ready_at timestamptz, delay float8, rule text, waiting_on int, children text, hook text, may_fail bool, args text, holes text, when_expr text, policy text, result_expr text, lane text, metadata text
INSERT INTO segue_steps (run_id, step, scope, name, task, is_join, status, gate, queue, priority, ready_at, delay, rule,
    waiting_on, children, hook, may_fail, args, holes, when_expr, policy, result_expr, lane, metadata)
SELECT run_id, step, scope, name, task, is_join, status, gate, queue, priority, ready_at, delay, rule,
    waiting_on, children::integer[], hook, may_fail, args, holes, when_expr, policy, result_expr, lane, metadata
FROM :batch ON CONFLICT DO NOTHING;

-- name: insert_executor_steps
-- The same for plans in which executors run steps.
-- columns: run_id uuid, step int, scope int, name text, task text, is_join bool, status text, gate text, queue text, priority int, ready_at timestamptz, delay float8, rule text, waiting_on int, children text, hook text, may_fail bool, args text, holes text, when_expr text, policy text, result_expr text, lane text, metadata text, executor text, spec text, handle text
INSERT INTO segue_steps (run_id, step, scope, name, task, is_join, status, gate, queue, priority, ready_at, delay, rule,
    waiting_on, children, hook, may_fail, args, holes, when_expr, policy, result_expr, lane, metadata, executor, spec, handle)
SELECT run_id, step, scope, name, task, is_join, status, gate, queue, priority, ready_at, delay, rule,
    waiting_on, children::integer[], hook, may_fail, args, holes, when_expr, policy, result_expr, lane, metadata, executor, spec, handle
FROM :batch ON CONFLICT DO NOTHING;

-- name: wake
-- A notification takes a lock that all commits share, so it is sent only if a worker sleeps.
-- `status IN` matches the partial index of live workers: rows of workers that have ended are not read.
SELECT pg_notify('segue', '') WHERE EXISTS (
    SELECT 1 FROM segue_workers WHERE status IN ('running', 'stopping') AND status = 'running' AND sleeping);

-- name: lock_runs
SELECT id, status, intent, outcome, fail_fast, limit_name, admitted_at
FROM segue_runs WHERE id = ANY(:ids::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: lock_run
SELECT id, status, intent, outcome, fail_fast, limit_name, admitted_at
FROM segue_runs WHERE id = ANY(ARRAY[:id::uuid]) ORDER BY id FOR NO KEY UPDATE;

-- name: lock_free_runs
-- Like `lock_run`, for callers that must not wait: skips rows that another transaction holds.
SELECT id, status, intent, outcome, fail_fast, limit_name, admitted_at
FROM segue_runs WHERE id = ANY(:ids::uuid[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED;

-- name: run_of_key
SELECT r.id FROM segue_keys k CROSS JOIN LATERAL (SELECT id FROM segue_runs WHERE id >= k.run_id AND id <= k.run_id ORDER BY id) r
WHERE k.workflow = :workflow AND k.key = :key;

-- name: lock_step
-- Waits for a claim that is under way, so what is read behind this is what that claim made of the step.
SELECT 1 FROM segue_steps WHERE run_id = :run_id AND step = :step FOR NO KEY UPDATE;

-- name: existing_runs
SELECT id FROM segue_runs WHERE id = ANY(:ids::uuid[]);

-- name: lose_workers
-- Skips a worker whose row another transaction holds, instead of waiting; the next rescue finds it.
UPDATE segue_workers w SET status = 'lost', sleeping = false
FROM (SELECT id FROM segue_workers WHERE status IN ('running', 'stopping') AND lease_until < :now
      FOR NO KEY UPDATE SKIP LOCKED) l
WHERE w.id = ANY(ARRAY[l.id]) RETURNING w.id;

-- name: finish
-- columns: run_id uuid, step int, attempt int, from_status text, status text, result text, error text, seconds float8
-- One statement for a whole batch: writes final statuses, updates each child once for all its parents, applies its join
-- rule (as model.judge_join does), counts down the runs, and ends runs that waited for nothing else and had no failure.
WITH done AS (
    UPDATE segue_steps s SET status = o.status, result = o.result, error = coalesce(o.error, s.error),
        seconds = coalesce(o.seconds, s.seconds), finished_at = :now, gate = NULL
    FROM :batch WHERE s.run_id = ANY(ARRAY[o.run_id]) AND s.step = o.step AND s.attempt = o.attempt AND s.status = o.from_status
    RETURNING s.run_id, s.step, s.status, s.children
), edges AS (
    SELECT d.run_id, c.child, count(*)::int AS total,
        (count(*) FILTER (WHERE d.status IN ('failed', 'cancelled')))::int AS failed,
        (count(*) FILTER (WHERE d.status = 'skipped'))::int AS skipped
    FROM done d CROSS JOIN LATERAL unnest(CASE WHEN cardinality(d.children) > 5000 THEN d.children[1:5000] ELSE d.children END) AS c(child) GROUP BY d.run_id, c.child
{finish_end}

-- name: finish_one
-- Like `finish`, for a single step, as in a chain: there, starting the larger statement costs more than its work.
WITH done AS (
    UPDATE segue_steps s SET status = :status, result = :result, error = coalesce(:error, s.error),
        seconds = coalesce(:seconds, s.seconds), finished_at = :now, gate = NULL
    WHERE s.run_id = :run_id AND s.step = :step AND s.attempt = :attempt AND s.status = :from_status
    RETURNING s.run_id, s.step, s.status, s.children
), edges AS (
    SELECT d.run_id, c.child, 1 AS total, (d.status IN ('failed', 'cancelled'))::int AS failed,
        (d.status = 'skipped')::int AS skipped
    FROM done d CROSS JOIN LATERAL unnest(CASE WHEN cardinality(d.children) > 5000 THEN d.children[1:5000] ELSE d.children END) AS c(child)
{finish_end}

-- name: release_children
-- Updates the rest of a step's children, if it has more than are updated at once.
WITH done AS (
    SELECT s.run_id, s.step, s.status, s.children[:released::integer + 1:] AS children FROM segue_steps s
    WHERE s.run_id = :run_id AND s.step = :step AND s.status IN ('succeeded', 'failed', 'skipped', 'cancelled')
), edges AS (
    SELECT d.run_id, c.child, 1 AS total, (d.status IN ('failed', 'cancelled'))::int AS failed,
        (d.status = 'skipped')::int AS skipped
    FROM done d CROSS JOIN LATERAL unnest(CASE WHEN cardinality(d.children) > 5000 THEN d.children[1:5000] ELSE d.children END) AS c(child)
{finish_end}

-- name: finish_end
-- The common part of both. `kids` and `counts` may be read before they are written, because the runs are locked.
), kids AS (
    SELECT s.run_id, s.step, s.place, s.attempt, s.is_join, s.waiting_on - e.total AS waiting_on,
        s.failed_above + e.failed AS failed, s.skipped_above + e.skipped AS skipped,
        greatest(:now::timestamptz + make_interval(secs => coalesce(s.delay, 0)), s.ready_at) AS due, s.lane,
        CASE
            WHEN s.rule = 'any_succeeded' AND e.total > e.failed + e.skipped THEN 'start'
            WHEN s.rule = 'any_failed' AND s.failed_above + e.failed > 0 THEN 'start'
            WHEN s.waiting_on - e.total > 0 THEN 'wait'
            WHEN s.rule IN ('any_succeeded', 'any_failed') THEN 'skip'
            WHEN s.rule = 'all_succeeded' AND s.failed_above + e.failed + s.skipped_above + e.skipped > 0 THEN 'skip'
            WHEN s.rule = 'none_failed' AND s.failed_above + e.failed > 0 THEN 'skip'
            WHEN s.rule = 'some_failed' AND s.failed_above + e.failed = 0 THEN 'skip'
            ELSE 'start'
        END AS verdict
    FROM edges e CROSS JOIN LATERAL (SELECT ctid AS place, * FROM segue_steps
        WHERE run_id = e.run_id AND step = e.child AND status = 'blocked' OFFSET 0) s
), released AS (
    UPDATE segue_steps s SET waiting_on = k.waiting_on, failed_above = k.failed, skipped_above = k.skipped,
        status = CASE WHEN k.verdict = 'start' AND NOT k.is_join THEN 'ready' ELSE 'blocked' END,
        ready_at = CASE WHEN k.verdict = 'start' AND NOT k.is_join THEN k.due ELSE s.ready_at END,
        gate = CASE WHEN k.verdict = 'start' AND NOT k.is_join THEN coalesce(
            (SELECT CASE WHEN r.limit_name IS NOT NULL AND r.admitted_at IS NULL AND r.intent IS NULL AND r.outcome IS NULL
                THEN 'admission' WHEN r.status = 'paused' THEN 'paused' END FROM segue_runs r
                WHERE r.id = ANY(ARRAY[k.run_id]) ORDER BY r.id),
            CASE WHEN k.due > :now::timestamptz THEN 'timer' WHEN k.lane IS NOT NULL THEN 'limit' END) END
    FROM kids k WHERE s.ctid = k.place
), counts AS (
    SELECT r.id, r.place, r.waiting_on - e.total AS waiting_on,
        r.waiting_on = e.total AND r.intent IS NULL AND r.outcome IS NULL AND NOT r.has_hooks
        AND NOT EXISTS (SELECT 1 FROM done d WHERE d.run_id = r.id AND d.status = 'failed')
        AND NOT EXISTS (SELECT 1 FROM segue_steps f WHERE f.run_id = r.id AND f.status = 'failed') AS is_plain_end
    FROM edges e CROSS JOIN LATERAL (SELECT ctid AS place, id, waiting_on, intent, outcome, has_hooks FROM segue_runs
        WHERE id = ANY(ARRAY[e.run_id]) ORDER BY id LIMIT 1) r
    WHERE e.child = -1
), counted AS (
    UPDATE segue_runs r SET waiting_on = c.waiting_on,
        status = CASE WHEN c.is_plain_end THEN 'succeeded' ELSE r.status END,
        finished_at = CASE WHEN c.is_plain_end THEN :now::timestamptz ELSE r.finished_at END,
        started_at = CASE WHEN c.is_plain_end AND r.started_at IS NULL THEN  -- its claim found the run locked
            (SELECT min(s.started_at) FROM segue_steps s WHERE s.run_id = r.id) ELSE r.started_at END
    FROM counts c WHERE r.ctid = c.place AND r.id = ANY(ARRAY[c.id])
)
SELECT NULL::uuid, (SELECT count(*) FROM done)::int, (SELECT count(*) FROM kids WHERE verdict = 'start' AND NOT is_join)::int, 'counts'
UNION ALL SELECT run_id, step, attempt, CASE verdict WHEN 'skip' THEN 'skip' ELSE 'join' END
    FROM kids WHERE verdict = 'skip' OR (verdict = 'start' AND is_join)
UNION ALL SELECT id, -1, 0, CASE WHEN is_plain_end THEN 'ended' ELSE 'quiet' END FROM counts WHERE waiting_on = 0
UNION ALL SELECT run_id, step, 5000, 'tell' FROM done WHERE cardinality(children) > 5000;

-- name: forget_late_parents
-- A step that started as soon as one of its parents had ended, and whose task returned a plan, waits only for that
-- plan: parents that end later must not count down what it waits for. Their edge becomes -2 - step, which is not a step
-- number. Only the check whether a failure was handled converts it back.
UPDATE segue_steps p SET children = array_replace(p.children, :step, -2 - :step)
WHERE p.run_id = :run_id AND p.scope <> :step AND :step = ANY(p.children);

-- name: due_timers
UPDATE segue_steps s SET gate = CASE WHEN s.lane IS NOT NULL THEN 'limit' END
FROM (SELECT run_id, step FROM segue_steps WHERE status = 'ready' AND gate = 'timer' AND ready_at <= :now
      ORDER BY ready_at LIMIT :limit FOR UPDATE SKIP LOCKED) t
WHERE s.run_id = ANY(ARRAY[t.run_id]) AND s.step = t.step;

-- name: claimed_columns
-- As `ClaimedRow` names them.
s.run_id, s.step, s.attempt, s.name, s.task, s.args, s.holes, s.when_expr, s.policy, s.failures, s.priority, s.ready_at,
    s.queue, CASE WHEN cardinality(s.children) = 1 THEN s.children[1] END;

-- name: claim
-- The index entries of steps claimed before come first, and stay as dead entries until a vacuum. The scan starts behind
-- (rank, since), so a claim costs the same however many there are. `ClaimCursor` restarts from the beginning now and
-- then.
WITH picked AS (
    SELECT run_id, step FROM segue_steps
    WHERE status = 'ready' AND gate IS NULL AND queue = :queue AND task = ANY(:tasks::text[])
    AND ((-priority), ready_at) >= (:rank::integer, :since::timestamptz)
    ORDER BY (-priority), ready_at, run_id, step LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE segue_steps s SET status = 'running', attempt = s.attempt + 1, worker_id = :worker_id, started_at = :now
FROM picked p WHERE s.run_id = ANY(ARRAY[p.run_id]) AND s.step = p.step
RETURNING {claimed_columns};

-- name: claim_of_run
-- For executing one run in this process. Few steps are ready at a time, but the run may have any number of steps: the
-- cast keeps the planner from scanning them, so that it uses the index on ready steps. The cursor works as in `claim`.
WITH picked AS (
    SELECT run_id, step FROM segue_steps
    WHERE status = 'ready' AND gate IS NULL AND run_id::text = :run_id AND task = ANY(:tasks::text[])
    AND ((-priority), ready_at) >= (:rank::integer, :since::timestamptz)
    ORDER BY (-priority), ready_at, run_id, step LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE segue_steps s SET status = 'running', attempt = s.attempt + 1, worker_id = :worker_id, started_at = :now
FROM picked p WHERE s.run_id = ANY(ARRAY[p.run_id]) AND s.step = p.step
RETURNING {claimed_columns};

-- name: runs_begin
-- Skips a run that another turn holds, because a claim must not wait for a run: the next claim tries again.
UPDATE segue_runs r SET status = 'running', started_at = :now
FROM (SELECT id, ctid FROM segue_runs WHERE id = ANY(:ids::uuid[]) AND status = 'pending'
      ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) p
WHERE r.ctid = p.ctid AND r.id = ANY(ARRAY[p.id]);

-- name: load_results
SELECT s.step, s.status, s.result, s.is_join, s.result_expr FROM {chosen_steps} o
JOIN segue_steps s ON s.run_id = ANY(ARRAY[o.of_run]) AND s.step = o.number;

-- name: load_ends
SELECT s.step, s.name, s.status, s.error FROM {chosen_steps} o
JOIN segue_steps s ON s.run_id = ANY(ARRAY[o.of_run]) AND s.step = o.number;

-- name: chosen_steps
-- A fragment: steps of one run, each a row. OFFSET keeps the planner from looking through this at the single run.
(SELECT :run_id::uuid AS of_run, number FROM unnest(:steps::int[]) AS number OFFSET 0);

-- name: prune_keys
-- Before the runs, which say what their keys are.
WITH gone AS MATERIALIZED (SELECT workflow, key, id FROM segue_runs WHERE id = ANY(:ids::uuid[]) ORDER BY id)
DELETE FROM segue_keys k USING gone g WHERE k.workflow = ANY(ARRAY[g.workflow]) AND k.key = g.key AND k.run_id = g.id;

-- name: prune_runs
DELETE FROM segue_runs WHERE id = ANY(:ids::uuid[]);

-- name: prune_steps
DELETE FROM segue_steps WHERE run_id = ANY(:ids::uuid[]);

-- name: prune_unfinished
DELETE FROM segue_unfinished WHERE run_id = ANY(:ids::uuid[]);

-- name: prune_attempts
DELETE FROM segue_attempts WHERE run_id = ANY(:ids::uuid[]);

-- name: prune_progress
DELETE FROM segue_progress WHERE run_id = ANY(:ids::uuid[]);

-- name: database_now
SELECT clock_timestamp();

-- name: count_runs
SELECT status, count(*) FROM segue_runs GROUP BY status;
