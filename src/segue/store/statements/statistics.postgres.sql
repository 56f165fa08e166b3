-- Statistics: batches.

-- name: put_statistics
-- A process says again what it has counted of a minute, so the row is replaced.
-- columns: span int, at timestamptz, process text, queue text, task text, attempts bigint, failed bigint, seconds float8, waited float8, took text, waits text
INSERT INTO segue_statistics (span, at, process, queue, task, attempts, failed, seconds, waited, took, waits)
SELECT span, at, process, queue, task, attempts, failed, seconds, waited, took, waits FROM :batch
ON CONFLICT (span, at, process, queue, task) DO UPDATE SET attempts = excluded.attempts, failed = excluded.failed,
    seconds = excluded.seconds, waited = excluded.waited, took = excluded.took, waits = excluded.waits;
