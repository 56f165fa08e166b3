-- Pages of runs: one statement for each index that a page may use. `run_matches` checks the other conditions.
-- `end_of_...` says how far a look goes that ends after so many rows: by the same index, without looking at the rows.

-- name: page_of_all
SELECT r.id {way_of_all} AND {run_matches} ORDER BY r.id DESC LIMIT :limit;

-- name: end_of_all
SELECT r.id {way_of_all} ORDER BY r.id DESC LIMIT 1 OFFSET :most;

-- name: way_of_all
FROM segue_runs r WHERE r.id < :before AND r.id >= :since

-- name: page_of_namespace
SELECT r.id {way_of_namespace} AND {run_matches} ORDER BY r.id DESC LIMIT :limit;

-- name: end_of_namespace
SELECT r.id {way_of_namespace} ORDER BY r.id DESC LIMIT 1 OFFSET :most;

-- name: way_of_namespace
FROM segue_runs r WHERE {prefix_of_run} = :prefix AND {is_namespaced} AND r.id < :before AND r.id >= :since

-- name: page_of_live
SELECT r.id {way_of_live} AND {run_matches} ORDER BY r.id DESC LIMIT :limit;

-- name: end_of_live
SELECT r.id {way_of_live} ORDER BY r.id DESC LIMIT 1 OFFSET :most;

-- name: way_of_live
FROM segue_runs r WHERE r.finished_at IS NULL AND r.id < :before AND r.id >= :since

-- name: page_of_failed
SELECT r.id {way_of_failed} AND {run_matches} ORDER BY r.id DESC LIMIT :limit;

-- name: end_of_failed
SELECT r.id {way_of_failed} ORDER BY r.id DESC LIMIT 1 OFFSET :most;

-- name: way_of_failed
FROM segue_runs r WHERE r.error IS NOT NULL AND r.id < :before AND r.id >= :since

-- name: page_of_cancelled
SELECT r.id {way_of_cancelled} AND {run_matches} ORDER BY r.id DESC LIMIT :limit;

-- name: end_of_cancelled
SELECT r.id {way_of_cancelled} ORDER BY r.id DESC LIMIT 1 OFFSET :most;

-- name: way_of_cancelled
-- A run that ends as cancelled had the intent to be.
FROM segue_runs r WHERE r.intent = 'cancelled' AND r.finished_at IS NOT NULL AND r.id < :before AND r.id >= :since

-- name: page_of_workflow
SELECT r.id {way_of_workflow} AND {run_matches} ORDER BY r.id DESC LIMIT :limit;

-- name: end_of_workflow
SELECT r.id {way_of_workflow} ORDER BY r.id DESC LIMIT 1 OFFSET :most;

-- name: page_of_error
SELECT r.id {way_of_error} AND {run_matches} ORDER BY r.id DESC LIMIT :limit;

-- name: end_of_error
SELECT r.id {way_of_error} ORDER BY r.id DESC LIMIT 1 OFFSET :most;

-- name: page_of_forks
SELECT r.id {way_of_forks} AND {run_matches} ORDER BY r.id DESC LIMIT :limit;

-- name: end_of_forks
SELECT r.id {way_of_forks} ORDER BY r.id DESC LIMIT 1 OFFSET :most;

-- name: way_of_forks
FROM segue_runs r WHERE r.forked_from = :forked_from AND r.id < :before AND r.id >= :since

-- name: page_of_key
SELECT r.id FROM segue_runs r WHERE r.workflow = :workflow AND r.key = :key AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: page_of_label
-- Returns a run once, even if several of its steps have the label.
SELECT DISTINCT l.run_id FROM segue_labels l JOIN segue_runs r ON r.id = l.run_id
WHERE l.name = :name AND l.value = :value AND l.run_id < :before AND l.run_id >= :since AND {run_matches}
ORDER BY l.run_id DESC LIMIT :limit;

-- name: end_of_label
SELECT l.run_id FROM segue_labels l
WHERE l.name = :name AND l.value = :value AND l.run_id < :before AND l.run_id >= :since
ORDER BY l.run_id DESC LIMIT 1 OFFSET :most;

-- name: page_of_failures
-- By the time of the failure.
SELECT r.id, r.finished_at {way_of_failures} AND r.status = 'failed' AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.finished_at DESC, r.id DESC LIMIT :limit;

-- name: end_of_failures
SELECT r.id, r.finished_at {way_of_failures} ORDER BY r.finished_at DESC, r.id DESC LIMIT 1 OFFSET :most;

-- name: way_of_failures
FROM segue_runs r WHERE r.error IS NOT NULL AND (r.finished_at, r.id) >= (:since_time, :since_run)
AND (r.finished_at, r.id) < (:before_time, :before_run)

-- name: count_label
-- The caller only needs to know whether it is rare, so the count stops early.
SELECT count(*) FROM (SELECT 1 FROM segue_labels WHERE name = :name AND value = :value LIMIT :limit) l;

-- name: run_columns
-- What is shown of a run, except its arguments, which may be large.
r.id, r.workflow, r.key, r.status, r.intent, r.outcome, r.steps - r.discarded, r.error, r.created_at, r.started_at, r.finished_at, r.tags,
r.metadata, r.forked_from, r.limit_name, r.limit_key, r.admitted_at, r.started_by,
(SELECT a.due_at FROM segue_alarms a WHERE a.run_id = r.id AND a.step = -1 AND a.kind = 'deadline');

-- name: run_row
SELECT {run_columns}, r.arguments FROM segue_runs r WHERE r.id = :run_id;
