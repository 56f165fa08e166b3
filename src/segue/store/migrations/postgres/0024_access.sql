-- Who may use the web pages and the HTTP API: access tokens, sessions of browsers, and the log of what they did.
CREATE TABLE segue_tokens (
    id text PRIMARY KEY,                                -- the first 8 characters of its secret part; people see it
    hash text NOT NULL UNIQUE,                          -- SHA-256 of the token; the token itself is stored nowhere
    name text NOT NULL,                                 -- of the person or program that has it
    role text NOT NULL,                                 -- viewer, operator, admin
    scopes text,                                        -- JSON: names of operations; null: all of its role
    workflows text,                                     -- JSON: patterns of the workflows it may start; null: all
    namespace text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text,
    expires_at timestamptz,                             -- null: never
    used_at timestamptz,                                -- to the minute
    revoked_at timestamptz
);
CREATE TABLE segue_sessions (
    hash text PRIMARY KEY,                              -- SHA-256 of the cookie
    id text NOT NULL UNIQUE,                            -- what people see
    name text NOT NULL,
    role text NOT NULL,
    how text NOT NULL,                                  -- token, oidc
    token_id text,                                      -- the token that was exchanged for it; it ends with that
    namespace text NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,                       -- to the minute
    expires_at timestamptz NOT NULL,
    address text,
    agent text                                          -- what the browser calls itself
);
CREATE TABLE segue_audit (
    id uuid PRIMARY KEY,                                -- UUIDv7: in the order of time
    at timestamptz NOT NULL,
    actor text,                                         -- null: unknown
    how text,                                           -- local, token, session, oidc, proxy, host, cli
    role text,
    action text NOT NULL,                               -- the operation, or login, logout, ...
    target text,                                        -- as "runs/01a2..."
    ok boolean NOT NULL,
    reason text,                                        -- that was given, or why it was refused
    address text,
    request_id text,
    namespace text NOT NULL
);
CREATE INDEX segue_audit_actor ON segue_audit (actor, id);
CREATE INDEX segue_audit_action ON segue_audit (action, id);
-- Failed logins of an address in the last minutes.
CREATE INDEX segue_audit_refused ON segue_audit (address, at) WHERE action = 'login' AND NOT ok;
