-- What a database looks like after a month of use. `{...}` is filled in by dialect, `:...` are numbers.
-- A run is a step, several that follow it, and one that waits for all of these.

-- name: fill_numbers
INSERT INTO fill_numbers (n) {numbers};

-- name: fill_runs
INSERT INTO fill_runs (n, id, workflow, status, steps, done, created, took)
SELECT n, {run_id}, workflow, status, steps, steps / 2, created, CASE WHEN status IN ('pending', 'running', 'paused') THEN NULL ELSE took END
FROM (
    SELECT n, 'shop.' || CASE n % 7 WHEN 0 THEN 'nightly' WHEN 1 THEN 'mail' WHEN 2 THEN 'report' ELSE 'takings' END AS workflow,
        CASE WHEN :large > 0 AND n = :runs THEN 'running' WHEN n > :runs - :large THEN 'succeeded' WHEN n > :runs - :live - :large
            THEN CASE WHEN n % 20 = 0 THEN 'paused' WHEN n % 3 = 0 THEN 'running' ELSE 'pending' END
            WHEN n % 1000 < 20 THEN 'failed' WHEN n % 1000 < 25 THEN 'cancelled' ELSE 'succeeded' END AS status,
        CASE WHEN :large > 0 AND n = :runs THEN :first_large WHEN n > :runs - :large THEN :second_large
            ELSE 3 + (n * 7) % (2 * :each - 5) END AS steps,
        :since + (:until - :since) * 1.0 * (n - 1) / :runs AS created, 0.5 + (n * 31) % 600 AS took
    FROM fill_numbers WHERE n > :from_run AND n <= :to_run
) AS counted;

-- name: write_runs
INSERT INTO segue_runs (id, workflow, key, status, intent, outcome, waiting_on, steps, result_expr, error, created_at,
    started_at, finished_at, arguments, tags, metadata)
SELECT id, workflow, CASE WHEN n % 10 = 0 THEN 'key-' || n END, status,
    CASE WHEN status = 'cancelled' THEN status END,
    CASE WHEN took IS NOT NULL THEN status END, CASE WHEN took IS NULL THEN 1 ELSE 0 END, steps, NULL,
    CASE WHEN status = 'failed' THEN '{"step":"price","type":"ValueError","message":"order ' || n || ' has no price"}' END,
    {created}, CASE WHEN status <> 'pending' THEN {created} END, CASE WHEN took IS NOT NULL THEN {ended} END,
    '[["2026-11-' || (1 + n % 28) || '",' || n || '],{}]', CASE WHEN n % 5 = 0 THEN '["nightly"]' END,
    CASE WHEN n % 10 = 1 THEN '{"customer":' || (n % 5000) || '}' END
FROM fill_runs;

-- name: write_keys
INSERT INTO segue_keys (workflow, key, run_id) SELECT workflow, 'key-' || n, id FROM fill_runs WHERE n % 10 = 0;

-- name: write_labels
INSERT INTO segue_labels (name, value, run_id) SELECT '', 'nightly', id FROM fill_runs WHERE n % 5 = 0
UNION ALL SELECT 'customer', CAST(n % 5000 AS text), id FROM fill_runs WHERE n % 10 = 1;

-- name: write_steps
INSERT INTO segue_steps (run_id, step, name, task, status, gate, event, queue, ready_at, attempt, failures, waiting_on,
    failed_above, children, result, error, worker_id, started_at, finished_at, seconds)
SELECT id, k, CASE WHEN k = 0 THEN 'fetch' WHEN k = steps - 1 THEN 'add_up' ELSE 'price[' || (k - 1) || ']' END,
    CASE WHEN now = 'ready' AND waits AND of_run <> 'paused' THEN 'segue.wait_for' ELSE 'shop.' END || CASE WHEN now = 'ready'
        AND waits AND of_run <> 'paused' THEN '' WHEN k = 0 THEN 'fetch' WHEN k = steps - 1 THEN 'add_up' ELSE 'price' END, now,
    CASE WHEN now <> 'ready' THEN NULL WHEN of_run = 'paused' THEN 'paused' WHEN waits THEN 'event' END,
    CASE WHEN now = 'ready' AND waits AND of_run <> 'paused' THEN 'approved' END,
    CASE n % 11 WHEN 0 THEN 'mail' WHEN 1 THEN 'net' ELSE 'default' END, CASE WHEN now <> 'blocked' THEN {created} END,
    CASE WHEN now IN ('succeeded', 'failed', 'running') THEN 1 ELSE 0 END, CASE WHEN now = 'failed' THEN 1 ELSE 0 END,
    CASE WHEN now <> 'blocked' THEN 0 WHEN k < steps - 1 THEN 1 WHEN of_run = 'running' THEN steps - 1 - done
        ELSE steps - 2 END,
    CASE WHEN now = 'skipped' THEN 1 ELSE 0 END,
    CASE WHEN k = steps - 1 THEN {no_child} WHEN k = 0 THEN {many_children} ELSE {last_child} END,
    CASE WHEN now = 'succeeded' THEN '{"total":' || (k * 3.5) || '}' END,
    CASE WHEN now = 'failed' THEN '{"type":"ValueError","message":"order ' || n || ' has no price","traceback":"Traceback"}' END,
    CASE WHEN now IN ('succeeded', 'failed', 'running') THEN {worker} END,
    CASE WHEN now IN ('succeeded', 'failed', 'running') THEN {begun} END,
    CASE WHEN now NOT IN ('blocked', 'ready', 'running') THEN {step_ended} END,
    CASE WHEN now IN ('succeeded', 'failed') THEN 0.01 + k % 30 END
FROM (
    SELECT r.*, r.status AS of_run, m.n AS k, (r.n % 21 = 0 AND m.n > r.done + 1) AS waits,
        CASE r.status WHEN 'succeeded' THEN 'succeeded'
            WHEN 'failed' THEN CASE WHEN m.n = r.steps - 2 THEN 'failed' WHEN m.n = r.steps - 1 THEN 'skipped' ELSE 'succeeded' END
            WHEN 'cancelled' THEN CASE WHEN m.n < r.done THEN 'succeeded' ELSE 'cancelled' END
            WHEN 'pending' THEN CASE WHEN m.n = 0 THEN 'ready' ELSE 'blocked' END
            ELSE CASE WHEN m.n = 0 THEN 'succeeded' WHEN m.n = r.steps - 1 THEN 'blocked' WHEN r.status = 'paused' THEN 'ready'
                WHEN m.n < r.done THEN 'succeeded' WHEN m.n < r.done + 2 THEN 'running' ELSE 'ready' END END AS now
    FROM fill_runs r JOIN fill_numbers m ON m.n < r.steps
) AS stepped;

-- name: write_attempts
-- Of each failed step, and of a few that succeeded at the second attempt.
INSERT INTO segue_attempts (run_id, step, attempt, status, worker, started_at, finished_at, error, output, fingerprint)
SELECT s.run_id, s.step, CASE WHEN s.status = 'failed' THEN 1 ELSE 0 END, 'failed', 'host:' || (r.n % 6), s.started_at,
    s.started_at, '{"type":"' || CASE WHEN r.n % 3 = 0 THEN 'TimeoutError' ELSE 'ValueError' END
    || '","message":"order ' || r.n || ' has no price","traceback":"Traceback (most recent call last):\n  File \"shop.py\""}',
    'line of output ' || r.n, CASE WHEN r.n % 3 = 0 THEN '77c0000000000000' ELSE '9f3a000000000000' END
FROM fill_runs r JOIN segue_steps s ON s.run_id = r.id
WHERE s.status = 'failed' OR (s.step = 1 AND r.n % 50 = 3 AND s.status = 'succeeded');

-- name: write_events
INSERT INTO segue_events (id, at, kind, run_id, detail, actor)
SELECT id, {created}, CASE WHEN status = 'cancelled' THEN 'run.cancelled' WHEN status = 'paused' THEN 'run.paused'
    ELSE 'run.late_end' END, id, '{"actor":"ann@box","reason":"by hand"}', CASE WHEN status <> 'succeeded' THEN 'ann@box' END
FROM fill_runs WHERE status IN ('cancelled', 'paused') OR n % 1000 = 30;

-- name: write_workers
-- Six that live for a day, and many that ended.
INSERT INTO segue_workers (id, name, queues, tasks, pool, concurrency, version, status, started_at, heartbeat_at, lease_until)
SELECT {worker_of_n}, 'host:' || n, '["default","mail"]', '["shop.fetch","shop.price","shop.add_up"]', 'process', 8, '0',
    CASE WHEN n < 6 THEN 'running' WHEN n % 5 = 0 THEN 'lost' ELSE 'stopped' END, {now}, {now}, {tomorrow}
FROM fill_numbers WHERE n < :workers;

-- name: write_schedules
INSERT INTO segue_schedules (name, workflow, expression, timezone, anchor_at, overlap, catch_up, source, next_tick, due_at,
    created_at, updated_at)
SELECT 'schedule-' || n, 'shop.nightly', '0 2 * * *', 'Europe/Paris', {now}, 'skip', 'latest', 'code', {tomorrow}, {tomorrow},
    {now}, {now}
FROM fill_numbers WHERE n < :schedules;

-- name: write_ticks
INSERT INTO segue_ticks (schedule, tick, status, run_id, decided_at, is_open)
SELECT 'schedule-' || (n % :schedules), {created}, 'started', id, {created}, took IS NULL FROM fill_runs
WHERE workflow = 'shop.nightly';

-- name: write_limits
INSERT INTO segue_limits (name, concurrency, source, updated_at) SELECT 'limit-' || n, 5 + n, 'api', {now}
FROM fill_numbers WHERE n < 20;

-- name: forget_runs
DELETE FROM fill_runs;

-- name: count_statuses
SELECT status, count(*) FROM segue_runs GROUP BY status ORDER BY count(*) DESC;
