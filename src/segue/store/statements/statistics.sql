-- Statistics of attempts by minute and hour: processes write rows of their own, the leader adds them up.

-- name: statistic_columns
queue, task, attempts, failed, seconds, waited, took, waits;

-- name: statistics_apart
-- The minutes that processes have counted apart from each other.
SELECT DISTINCT at FROM segue_statistics WHERE process <> '' AND at < :before ORDER BY at LIMIT :limit;

-- name: oldest_minute
SELECT min(at) FROM segue_statistics WHERE span = 60 AND at < :before;

-- name: take_statistics
DELETE FROM segue_statistics WHERE span = :span AND at >= :since AND at < :until RETURNING {statistic_columns};

-- name: prune_statistics
DELETE FROM segue_statistics WHERE span = 3600 AND at < :before;

-- name: list_statistics
SELECT at, {statistic_columns} FROM segue_statistics WHERE span = :span AND at >= :since
AND (CAST(:queue AS text) IS NULL OR queue = :queue) AND (CAST(:task AS text) IS NULL OR task = :task) ORDER BY at;
