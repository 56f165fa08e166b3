-- SQLite has no row locks: a writer locks the whole database for a moment.

-- name: holders_of_run
SELECT 1 WHERE false AND :run_id IS NULL;
