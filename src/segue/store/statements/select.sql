-- Pages of runs, newest first: one statement for each index that a page may use. `run_matches` checks the other
-- conditions.

-- name: page_of_all
SELECT r.id FROM segue_runs r WHERE r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: page_of_namespace
SELECT r.id FROM segue_runs r
WHERE {prefix_of_run} = :prefix AND {is_namespaced} AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: page_of_live
SELECT r.id FROM segue_runs r WHERE r.finished_at IS NULL AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: page_of_failed
SELECT r.id FROM segue_runs r WHERE r.error IS NOT NULL AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: page_of_workflow
SELECT r.id FROM segue_runs r WHERE r.workflow = :workflow AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: page_of_key
SELECT r.id FROM segue_runs r WHERE r.workflow = :workflow AND r.key = :key AND r.id < :before AND r.id >= :since AND {run_matches}
ORDER BY r.id DESC LIMIT :limit;

-- name: page_of_label
-- Returns a run once, even if several of its steps have the label.
SELECT DISTINCT l.run_id FROM segue_labels l JOIN segue_runs r ON r.id = l.run_id
WHERE l.name = :name AND l.value = :value AND l.run_id < :before AND l.run_id >= :since AND {run_matches}
ORDER BY l.run_id DESC LIMIT :limit;

-- name: count_label
-- The caller only needs to know whether it is rare, so the count stops early.
SELECT count(*) FROM (SELECT 1 FROM segue_labels WHERE name = :name AND value = :value LIMIT :limit) l;

-- name: run_columns
-- What is shown of a run, except its arguments, which may be large.
r.id, r.workflow, r.key, r.status, r.intent, r.outcome, r.steps - r.discarded, r.error, r.created_at, r.started_at, r.finished_at, r.tags,
r.metadata, r.forked_from, r.limit_name, r.limit_key, r.admitted_at,
(SELECT a.due_at FROM segue_alarms a WHERE a.run_id = r.id AND a.step = -1 AND a.kind = 'deadline');

-- name: run_row
SELECT {run_columns}, r.arguments FROM segue_runs r WHERE r.id = :run_id;
