-- The remaining parts of operations that are done in parts. A transaction that writes or takes one holds the lock of
-- the run.

-- name: leave_unfinished
INSERT INTO segue_unfinished (run_id, position, items) VALUES (
    :run_id, (SELECT coalesce(max(position), -1) + 1 FROM segue_unfinished WHERE run_id = :run_id), :items);

-- name: take_unfinished
DELETE FROM segue_unfinished WHERE run_id = :run_id
AND position = (SELECT min(u.position) FROM segue_unfinished u WHERE u.run_id = :run_id) RETURNING items;

-- name: next_unfinished
SELECT items FROM segue_unfinished WHERE run_id = :run_id ORDER BY position LIMIT 1;

-- name: is_unfinished
SELECT 1 FROM segue_unfinished WHERE run_id = :run_id LIMIT 1;

-- name: unfinished_runs
SELECT DISTINCT run_id FROM segue_unfinished ORDER BY run_id LIMIT :limit;

-- name: check_unfinished_of_no_run
SELECT u.run_id, 'something is left to do of a run that is not there' FROM segue_unfinished u
WHERE NOT coalesce((SELECT r.id FROM segue_runs r WHERE r.id >= u.run_id ORDER BY r.id LIMIT 1) = u.run_id, false);
