-- What each version of the code defines.

-- name: touch_code_version
-- One statement if the version is known. Its row stays locked until the commit: if two processes write the same version
-- at once, the second finds it written. True: the version is new, and its definitions must be written.
INSERT INTO segue_code_versions (namespace, version, written_at, seen_at) VALUES (:namespace, :version, :now, :now)
ON CONFLICT (namespace, version) DO UPDATE
SET seen_at = excluded.seen_at RETURNING written_at = :now;

-- name: live_code_versions
-- A fragment: the versions of live workers, and of processes that do chores, which report theirs once a minute.
SELECT v.version FROM segue_code_versions v WHERE v.namespace = :namespace AND (v.seen_at > :since
    OR v.version IN (SELECT w.code_version FROM segue_workers w
        WHERE w.namespace = v.namespace AND w.status IN ('running', 'stopping') AND w.lease_until >= :now
        AND w.code_version IS NOT NULL));

-- name: code_versions
-- Live versions first, and the newest first among each.
SELECT v.version, v.written_at, v.seen_at, CASE WHEN v.version IN ({live_code_versions}) THEN 1 ELSE 0 END AS is_live
FROM segue_code_versions v WHERE v.namespace = :namespace ORDER BY is_live DESC, v.written_at DESC, v.version;

-- name: namespaces_of_code
SELECT DISTINCT namespace FROM segue_code_versions ORDER BY namespace;

-- name: definition_columns
-- A fragment: the columns that `read_definition` expects.
version, kind, name, module, qualname, title, description, parameters, result, options, code_hash, problem;

-- name: definitions_shown
-- Of live versions, or of the newest one if none is live; or of those that begin with :version. The best version first.
SELECT known.is_live, {definition_columns} FROM (
    SELECT c.version AS of_version, c.is_live, row_number() OVER (ORDER BY c.is_live DESC, c.written_at DESC, c.version) AS place
    FROM ({code_versions}) c) known
JOIN segue_definitions d ON d.namespace = :namespace AND d.version = known.of_version
WHERE CASE WHEN CAST(:version AS text) IS NULL THEN known.is_live = 1 OR known.place = 1
    ELSE :version <> '' AND substr(known.of_version, 1, length(:version)) = :version END
ORDER BY known.place, kind, name;

-- name: last_defined
SELECT d.module, v.version, v.seen_at FROM segue_definitions d
JOIN segue_code_versions v ON v.namespace = d.namespace AND v.version = d.version
WHERE d.namespace = :namespace AND d.kind = :kind AND d.name = :name ORDER BY v.seen_at DESC LIMIT 1;

-- name: live_code
{live_code_versions} LIMIT 1;

-- name: live_workflows
SELECT DISTINCT d.name FROM segue_definitions d
WHERE d.namespace = :namespace AND d.kind = 'workflow' AND d.version IN ({live_code_versions});

-- name: workers_of_unknown_code
-- Live workers that do not report which workflows they know, except those that execute a single run in the thread of
-- its caller.
SELECT count(*) AS count FROM segue_workers w
WHERE w.namespace = :namespace AND w.status IN ('running', 'stopping') AND w.lease_until >= :now AND w.pool <> 'inline'
AND (w.code_version IS NULL OR NOT EXISTS (
    SELECT 1 FROM segue_code_versions v WHERE v.namespace = :namespace AND v.version = w.code_version));

-- name: old_code_versions
-- Except the versions that were seen last, and those that a process had a moment ago: it may be about to write them
-- again.
SELECT v.version FROM segue_code_versions v
WHERE v.namespace = :namespace AND v.seen_at < :before AND v.version NOT IN ({live_code_versions})
AND v.version NOT IN (
    SELECT k.version FROM segue_code_versions k WHERE k.namespace = :namespace
    ORDER BY k.seen_at DESC, k.version LIMIT :kept)
ORDER BY v.version LIMIT :limit;

-- name: delete_code_version
-- Deletes nothing if the version was seen again meanwhile.
DELETE FROM segue_code_versions WHERE namespace = :namespace AND version = :version AND seen_at < :before
RETURNING version;

-- name: delete_definitions
DELETE FROM segue_definitions WHERE namespace = :namespace AND version = :version;

-- name: check_definition
SELECT '', d.kind || ' ' || d.name || ' is defined by the code version ' || d.version || ', which is not there'
FROM segue_definitions d WHERE NOT EXISTS (
    SELECT 1 FROM segue_code_versions v WHERE v.namespace = d.namespace AND v.version = d.version);
