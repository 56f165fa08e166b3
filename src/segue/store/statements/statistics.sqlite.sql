-- Statistics: batches.

-- name: put_statistics
-- A process says again what it has counted of a minute, so the row is replaced.
-- columns: span int, at time, process text, queue text, task text, attempts int, failed int, seconds float, waited float, took text, waits text
INSERT OR REPLACE INTO segue_statistics (span, at, process, queue, task, attempts, failed, seconds, waited, took, waits)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11);
