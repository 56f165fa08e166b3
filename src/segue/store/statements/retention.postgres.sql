-- Retention: lists differ, and so does the order, which names the workflow. If one workflow has most of the runs, a
-- generic plan expects to find "the runs of a workflow by id" faster by scanning all runs by id. Only
-- `segue_runs_workflow` serves a range of workflows in this order.

-- name: aged_runs
SELECT id, steps FROM segue_runs
WHERE workflow >= :workflow AND workflow <= :workflow AND id > :since AND id <= :until
AND status = ANY(:statuses::text[]) AND finished_at < :before ORDER BY workflow, id LIMIT :limit;

-- name: surplus_runs
-- Runs behind the newest ones, which are kept and have to be counted.
SELECT id, steps FROM segue_runs
WHERE workflow >= :workflow AND workflow <= :workflow AND status = ANY(:statuses::text[]) AND finished_at IS NOT NULL
AND id <= (SELECT id FROM segue_runs
    WHERE workflow >= :workflow AND workflow <= :workflow AND status = ANY(:statuses::text[]) AND finished_at IS NOT NULL
    ORDER BY workflow DESC, id DESC LIMIT 1 OFFSET :keep)
ORDER BY workflow, id LIMIT :limit;

-- name: take_discard
-- PostgreSQL before version 18 has no min(uuid).
UPDATE segue_discards SET next = next + :count WHERE run_id = (SELECT d.run_id FROM segue_discards d ORDER BY d.run_id LIMIT 1)
RETURNING run_id, next - :count, next, steps;
