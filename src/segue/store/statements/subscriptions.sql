-- Subscriptions, to which events are delivered at least once.

-- name: active_subscriptions
SELECT name, events, workflow, target FROM segue_subscriptions WHERE is_active ORDER BY name;

-- name: list_subscriptions
SELECT name, events, workflow, target, is_active, created_at FROM segue_subscriptions ORDER BY name;

-- name: put_subscription
INSERT INTO segue_subscriptions (name, events, workflow, target, is_active, created_at)
VALUES (:name, :events, :workflow, :target, true, :now)
ON CONFLICT (name) DO UPDATE SET events = excluded.events, workflow = excluded.workflow, target = excluded.target;

-- name: set_subscription_active
UPDATE segue_subscriptions SET is_active = :is_active WHERE name = :name AND is_active <> :is_active RETURNING name;

-- name: subscription_named
SELECT 1 FROM segue_subscriptions WHERE name = :name;

-- name: delete_subscription
DELETE FROM segue_subscriptions WHERE name = :name RETURNING name;
