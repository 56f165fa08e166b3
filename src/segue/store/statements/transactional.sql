-- What transactional tasks need in addition to the statements of a turn.

-- name: worker_of_step
SELECT w.name FROM segue_steps s JOIN segue_workers w ON w.id = s.worker_id WHERE s.run_id = :run_id AND s.step = :step;
