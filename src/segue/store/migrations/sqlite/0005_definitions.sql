-- What each version of the code defines: its tasks and workflows. A process with that code writes it once.

CREATE TABLE segue_code_versions (
    namespace TEXT NOT NULL DEFAULT '',
    version TEXT NOT NULL,                              -- a hash of all that the version defines
    written_at TEXT NOT NULL,
    seen_at TEXT NOT NULL,                      -- when a process with this code last started or said that it lives
    PRIMARY KEY (namespace, version)
);

CREATE TABLE segue_definitions (                        -- Invariant: every row is of a version that is there
    namespace TEXT NOT NULL DEFAULT '',
    version TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('task', 'workflow')),
    name TEXT NOT NULL,
    module TEXT NOT NULL,
    qualname TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    parameters TEXT NOT NULL,                           -- JSON Schema of an object that has a property for each parameter
    result TEXT NOT NULL,                               -- JSON Schema
    options TEXT NOT NULL,                              -- JSON object
    code_hash TEXT NOT NULL,                            -- of the function
    problem TEXT,                                       -- what could not be described; null: nothing
    PRIMARY KEY (namespace, version, kind, name)
);

ALTER TABLE segue_workers ADD COLUMN code_version TEXT; -- null: a worker of an older Segue, or one that does not say
