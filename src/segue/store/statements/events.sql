-- Events: how they are recorded, what observers and subscriptions receive, and how they are read.

-- name: insert_event
INSERT INTO segue_events (id, at, kind, run_id, step, detail, namespace, actor)
VALUES (:id, :at, :kind, :run_id, :step, :detail, :namespace, :actor)
ON CONFLICT DO NOTHING;

-- name: event_facts
-- What is added to an event when it is delivered.
SELECT r.workflow, r.key, r.tags, s.name, s.task, r.metadata, {short_arguments} FROM segue_runs r
LEFT JOIN segue_steps s ON s.run_id = r.id AND s.step = CAST(:step AS integer) WHERE r.id = :run_id;

-- name: step_ended_now
-- Whether this transaction recorded the end.
SELECT 1 FROM segue_steps
WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND status = :status AND finished_at = :now;

-- name: cancel_waiting_steps_returning
{cancel_waiting_steps} RETURNING step, attempt, task;

-- name: event_columns
e.id, e.at, e.kind, e.run_id, r.workflow, e.step,
    (SELECT s.name FROM segue_steps s WHERE s.run_id = e.run_id AND s.step = e.step), e.detail, e.namespace FROM segue_events e
LEFT JOIN segue_runs r ON r.id = e.run_id;

-- name: is_event_of_namespace
-- An event about a run is of the run's namespace.
(CAST(:prefix AS text) IS NULL OR CASE WHEN e.run_id IS NULL THEN e.namespace = :namespace
    ELSE coalesce({prefix_of_run}, '') = :prefix END);

-- name: list_events
SELECT {event_columns} WHERE e.id < :before AND {is_of_kinds} AND {is_event_of_namespace} ORDER BY e.id DESC LIMIT :limit;

-- name: list_events_of_kinds
SELECT {event_columns} WHERE {is_newest_of_kinds} ORDER BY e.id DESC LIMIT :limit;

-- name: newest_of_kind
-- A fragment: of the kind k. Compared and ordered as the index on kinds has them, so that no other index is an answer:
-- by the ids, rare ones would be looked for among millions of others.
SELECT e.id FROM segue_events e LEFT JOIN segue_runs r ON r.id = e.run_id
WHERE (e.kind, e.id) < (k.name, :before) AND (e.kind, e.id) >= (k.name, '00000000-0000-0000-0000-000000000000')
AND (CAST(:actor AS text) IS NULL OR e.actor = :actor) AND {is_event_of_namespace}
ORDER BY e.kind DESC, e.id DESC LIMIT :limit;

-- name: list_events_of_actor
SELECT {event_columns} WHERE e.actor = :actor AND e.id < :before AND {is_of_kinds} AND {is_event_of_namespace} ORDER BY e.id DESC LIMIT :limit;

-- name: list_events_of_run
SELECT {event_columns} WHERE e.run_id = :run_id AND e.id < :before AND {is_of_kinds}
AND (CAST(:actor AS text) IS NULL OR e.actor = :actor) AND {is_event_of_namespace} ORDER BY e.id DESC LIMIT :limit;
