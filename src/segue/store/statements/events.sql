-- What is written down as having happened.

-- name: insert_event
INSERT INTO segue_events (id, at, kind, run_id, step, detail) VALUES (:id, :at, :kind, :run_id, :step, :detail)
ON CONFLICT DO NOTHING;
