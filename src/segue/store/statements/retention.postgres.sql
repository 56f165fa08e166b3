-- Retention: what differs are lists, and the order, which keeps to the workflow. Where one workflow has most of the runs a
-- plan that is made without knowing which one is asked for takes "those of a workflow by id" to be quicker found among all
-- runs by id. A range of workflows in their order is found by `segue_runs_workflow` alone.

-- name: aged_runs
SELECT id, steps FROM segue_runs
WHERE workflow >= :workflow AND workflow <= :workflow AND id > :since AND id <= :until
AND status = ANY(:statuses::text[]) AND finished_at < :before ORDER BY workflow, id LIMIT :limit;

-- name: surplus_runs
-- Behind the newest ones that are kept, which have to be counted.
SELECT id, steps FROM segue_runs
WHERE workflow >= :workflow AND workflow <= :workflow AND status = ANY(:statuses::text[]) AND finished_at IS NOT NULL
AND id <= (SELECT id FROM segue_runs
    WHERE workflow >= :workflow AND workflow <= :workflow AND status = ANY(:statuses::text[]) AND finished_at IS NOT NULL
    ORDER BY workflow DESC, id DESC LIMIT 1 OFFSET :keep)
ORDER BY workflow, id LIMIT :limit;
