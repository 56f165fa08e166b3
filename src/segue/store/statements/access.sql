-- Who may use the web pages and the HTTP API.

-- name: insert_token
INSERT INTO segue_tokens (id, hash, name, role, scopes, workflows, namespace, created_at, created_by, expires_at)
VALUES (:id, :hash, :name, :role, :scopes, :workflows, :namespace, :now, :created_by, :expires_at);

-- name: token_columns
id, name, role, scopes, workflows, created_at, created_by, expires_at, used_at, revoked_at;

-- name: find_token
SELECT {token_columns} FROM segue_tokens WHERE hash = :hash AND namespace = :namespace;

-- name: list_tokens
SELECT {token_columns} FROM segue_tokens WHERE namespace = :namespace ORDER BY created_at, id;

-- name: use_token
UPDATE segue_tokens SET used_at = :now WHERE id = :id AND (used_at IS NULL OR used_at < :before);

-- name: revoke_token
UPDATE segue_tokens SET revoked_at = :now WHERE id = :id AND namespace = :namespace AND revoked_at IS NULL RETURNING id;

-- name: end_sessions_of_token
DELETE FROM segue_sessions WHERE token_id = :id;

-- name: insert_session
INSERT INTO segue_sessions (hash, id, name, role, how, token_id, namespace, created_at, seen_at, expires_at, address, agent)
VALUES (:hash, :id, :name, :role, :how, :token_id, :namespace, :now, :now, :expires_at, :address, :agent);

-- name: session_columns
s.id, s.name, s.role, s.how, s.token_id, s.created_at, s.seen_at, s.expires_at, s.address, s.agent;

-- name: find_session
-- A session that began with a token ends with it, and has the role that the token has now.
SELECT {session_columns}, t.role, t.scopes, t.workflows, t.revoked_at, t.expires_at FROM segue_sessions s
LEFT JOIN segue_tokens t ON t.id = s.token_id
WHERE s.hash = :hash AND s.namespace = :namespace;

-- name: list_sessions
SELECT {session_columns} FROM segue_sessions s
WHERE s.namespace = :namespace AND s.expires_at > :now AND s.seen_at > :idle_since ORDER BY s.seen_at DESC LIMIT 500;

-- name: see_session
UPDATE segue_sessions SET seen_at = :now WHERE hash = :hash AND seen_at < :before;

-- name: end_session
DELETE FROM segue_sessions WHERE hash = :hash;

-- name: end_session_of_id
DELETE FROM segue_sessions WHERE id = :id AND namespace = :namespace RETURNING id;

-- name: delete_old_sessions
DELETE FROM segue_sessions WHERE expires_at < :now OR seen_at < :idle_since;

-- name: insert_audit
INSERT INTO segue_audit (id, at, actor, how, role, action, target, ok, reason, address, request_id, namespace)
VALUES (:id, :now, :actor, :how, :role, :action, :target, :ok, :reason, :address, :request_id, :namespace);

-- name: audit_columns
SELECT id, at, actor, how, role, action, target, ok, reason, address, request_id FROM segue_audit
WHERE id < :before AND namespace = :namespace;

-- name: list_audit
{audit_columns} ORDER BY id DESC LIMIT :limit;

-- name: list_audit_of_actor
{audit_columns} AND actor = :actor AND (CAST(:action AS text) IS NULL OR action = :action) ORDER BY id DESC LIMIT :limit;

-- name: list_audit_of_action
{audit_columns} AND action = :action ORDER BY id DESC LIMIT :limit;

-- name: count_refused_logins
SELECT count(*) FROM (SELECT 1 FROM segue_audit
    WHERE action = 'login' AND NOT ok AND address = :address AND at > :since LIMIT 100) refused;

-- name: delete_old_audit
DELETE FROM segue_audit WHERE id IN (SELECT id FROM segue_audit WHERE id < :before ORDER BY id LIMIT 1000);
