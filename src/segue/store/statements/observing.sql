-- What is asked and written while somebody listens, and not otherwise.

-- name: event_facts
-- What is told of an event besides the event itself.
SELECT r.workflow, r.key, r.tags, s.name, s.task FROM segue_runs r
LEFT JOIN segue_steps s ON s.run_id = r.id AND s.step = CAST(:step AS integer) WHERE r.id = :run_id;

-- name: step_ended_now
-- Whether it was this transaction that recorded the end.
SELECT 1 FROM segue_steps
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND status = :status AND finished_at = :now;

-- name: cancel_waiting_steps_told
{cancel_waiting_steps} RETURNING step, attempt, task;

-- name: active_subscriptions
SELECT name, events, workflow, target FROM segue_subscriptions WHERE is_active ORDER BY name;

-- name: list_subscriptions
SELECT name, events, workflow, target, is_active, created_at FROM segue_subscriptions ORDER BY name;

-- name: put_subscription
INSERT INTO segue_subscriptions (name, events, workflow, target, is_active, created_at)
VALUES (:name, :events, :workflow, :target, true, :now)
ON CONFLICT (name) DO UPDATE SET events = excluded.events, workflow = excluded.workflow, target = excluded.target;

-- name: set_subscription_active
UPDATE segue_subscriptions SET is_active = :is_active WHERE name = :name RETURNING name;

-- name: delete_subscription
DELETE FROM segue_subscriptions WHERE name = :name RETURNING name;
