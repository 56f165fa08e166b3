-- SQLite has no row locks: a writer locks the whole database for a moment.

-- name: holders_of_run
SELECT 1 WHERE false AND :run_id IS NULL;

-- name: what_holds_run
SELECT NULL, NULL, NULL, NULL, NULL FROM segue_unfinished WHERE run_id = :run_id LIMIT 1;
