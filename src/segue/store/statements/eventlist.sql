-- Looking at what was written down, newest first.

-- name: event_columns
e.id, e.at, e.kind, e.run_id, r.workflow, e.step, s.name, e.detail FROM segue_events e
LEFT JOIN segue_runs r ON r.id = e.run_id
LEFT JOIN segue_steps s ON s.run_id = e.run_id AND s.step = e.step;

-- name: list_events
SELECT {event_columns} WHERE e.id < :before AND {is_of_kinds} ORDER BY e.id DESC LIMIT :limit;

-- name: list_events_of_run
SELECT {event_columns} WHERE e.run_id = :run_id AND e.id < :before AND {is_of_kinds} ORDER BY e.id DESC LIMIT :limit;
