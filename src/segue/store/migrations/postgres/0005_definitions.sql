-- What each version of the code defines: its tasks and workflows. A process with that code writes it once.

CREATE TABLE segue_code_versions (
    namespace text NOT NULL DEFAULT '',
    version text NOT NULL,                              -- a hash of all that the version defines
    written_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,                      -- when a process with this code last started or said that it lives
    PRIMARY KEY (namespace, version)
);

CREATE TABLE segue_definitions (                        -- Invariant: every row is of a version that is there
    namespace text NOT NULL DEFAULT '',
    version text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('task', 'workflow')),
    name text NOT NULL,
    module text NOT NULL,
    qualname text NOT NULL,
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    parameters text NOT NULL,                           -- JSON Schema of an object that has a property for each parameter
    result text NOT NULL,                               -- JSON Schema
    options text NOT NULL,                              -- JSON object
    code_hash text NOT NULL,                            -- of the function
    problem text,                                       -- what could not be described; null: nothing
    PRIMARY KEY (namespace, version, kind, name)
);

ALTER TABLE segue_workers ADD COLUMN code_version text; -- null: a worker of an older Segue, or one that does not say
