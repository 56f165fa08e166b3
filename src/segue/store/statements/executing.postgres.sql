-- Steps of executors: what differs on PostgreSQL.

-- name: send_ready
-- Like `claim`, it skips steps that another transaction holds.
WITH picked AS (
    SELECT run_id, step FROM segue_steps
    WHERE status = 'ready' AND gate IS NULL AND queue >= :low AND queue < :high
    ORDER BY queue, (-priority), ready_at, run_id, step LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE segue_steps s SET status = 'sent', attempt = s.attempt + 1, fenced = :fenced, sent_at = :now,
    sent_until = :sent_until, started_at = NULL, worker_id = NULL, cancel_requested = false
FROM picked p WHERE s.run_id = p.run_id AND s.step = p.step
RETURNING s.run_id, s.step, s.attempt, s.name, s.task, s.args, s.holes, s.when_expr, s.policy, s.failures, s.priority, s.ready_at, s.queue, s.spec, s.handle;
