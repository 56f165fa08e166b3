-- Who may use the web pages and the HTTP API: access tokens, sessions of browsers, and the log of what they did.
CREATE TABLE segue_tokens (
    id TEXT PRIMARY KEY,                                -- the first 8 characters of its secret part; people see it
    hash TEXT NOT NULL UNIQUE,                          -- SHA-256 of the token; the token itself is stored nowhere
    name TEXT NOT NULL,                                 -- of the person or program that has it
    role TEXT NOT NULL,                                 -- viewer, operator, admin
    scopes TEXT,                                        -- JSON: names of operations; null: all of its role
    workflows TEXT,                                     -- JSON: patterns of the workflows it may start; null: all
    namespace TEXT NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT,
    expires_at TEXT,                                    -- null: never
    used_at TEXT,                                       -- to the minute
    revoked_at TEXT
);
CREATE TABLE segue_sessions (
    hash TEXT PRIMARY KEY,                              -- SHA-256 of the cookie
    id TEXT NOT NULL UNIQUE,                            -- what people see
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    how TEXT NOT NULL,                                  -- token, oidc
    token_id TEXT,                                      -- the token that was exchanged for it; it ends with that
    namespace TEXT NOT NULL,
    created_at TEXT NOT NULL,
    seen_at TEXT NOT NULL,                              -- to the minute
    expires_at TEXT NOT NULL,
    address TEXT,
    agent TEXT                                          -- what the browser calls itself
);
CREATE TABLE segue_audit (
    id TEXT PRIMARY KEY,                                -- UUIDv7: in the order of time
    at TEXT NOT NULL,
    actor TEXT,                                         -- null: unknown
    how TEXT,                                           -- local, token, session, oidc, proxy, host, cli
    role TEXT,
    action TEXT NOT NULL,                               -- the operation, or login, logout, ...
    target TEXT,                                        -- as "runs/01a2..."
    ok INTEGER NOT NULL,
    reason TEXT,                                        -- that was given, or why it was refused
    address TEXT,
    request_id TEXT,
    namespace TEXT NOT NULL
);
CREATE INDEX segue_audit_actor ON segue_audit (actor, id);
CREATE INDEX segue_audit_action ON segue_audit (action, id);
-- Failed logins of an address in the last minutes.
CREATE INDEX segue_audit_refused ON segue_audit (address, at) WHERE action = 'login' AND NOT ok;
