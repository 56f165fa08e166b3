-- Which sessions hold rows of a run.

-- name: holders_of_run
-- The server does not list row locks. But a locked row names the transaction that locked it, and each transaction holds
-- a lock on itself. Only long transactions are listed: a turn holds its runs for milliseconds.
SELECT DISTINCT a.pid, a.application_name, a.usename, a.state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8
FROM (SELECT xmax FROM segue_runs WHERE id = :run_id
      UNION (SELECT xmax FROM segue_steps WHERE run_id = :run_id AND status IN ('ready', 'sent', 'running') LIMIT 1000)) r
JOIN pg_locks l ON l.locktype = 'transactionid' AND l.granted AND l.transactionid = r.xmax
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - interval '1 second' ORDER BY a.pid;

-- name: what_holds_run
-- The same, and a row without a session if changes of the run are written in parts.
SELECT h.* FROM ({holders_of_run}) AS h
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL WHERE EXISTS (SELECT 1 FROM segue_unfinished WHERE run_id = :run_id);
