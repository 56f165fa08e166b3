-- Retention: what differs are lists.

-- name: aged_runs
SELECT id, steps FROM segue_runs
WHERE workflow = :workflow AND id > :since AND id <= :until AND status IN (SELECT value FROM json_each(:statuses)) AND finished_at < :before ORDER BY id LIMIT :limit;

-- name: surplus_runs
-- Runs behind the newest ones, which are kept.
SELECT id, steps FROM segue_runs WHERE workflow = :workflow AND status IN (SELECT value FROM json_each(:statuses)) AND finished_at IS NOT NULL
AND id <= (SELECT id FROM segue_runs WHERE workflow = :workflow AND status IN (SELECT value FROM json_each(:statuses)) AND finished_at IS NOT NULL
    ORDER BY id DESC LIMIT 1 OFFSET :keep)
ORDER BY id LIMIT :limit;
