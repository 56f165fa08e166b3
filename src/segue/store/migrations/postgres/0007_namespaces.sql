-- Several applications share a database: a name in a namespace is stored as the namespace, the character U+001F, and the
-- name. Names in the default namespace are stored as they are.
ALTER TABLE segue_workers ADD COLUMN namespace text NOT NULL DEFAULT '';
ALTER TABLE segue_events ADD COLUMN namespace text NOT NULL DEFAULT '';  -- of an event that is about no run
-- Lists of one namespace. The default namespace pays nothing for it.
CREATE INDEX segue_runs_namespace ON segue_runs ((substr(workflow, 1, strpos(workflow, chr(31)))), id)
    WHERE strpos(workflow, chr(31)) > 0;

-- The run that has a key. Apart from the runs, so that these may be partitioned by time.
CREATE TABLE segue_keys (
    workflow text NOT NULL,
    key text NOT NULL,                          -- Invariant: one run for each (workflow, key)
    run_id uuid NOT NULL,
    PRIMARY KEY (workflow, key)
);
INSERT INTO segue_keys (workflow, key, run_id) SELECT workflow, key, id FROM segue_runs WHERE key IS NOT NULL;

-- For what is to come.
ALTER TABLE segue_runs ADD COLUMN version text;         -- of the code that planned it
ALTER TABLE segue_runs ADD COLUMN parent_run uuid;      -- the run that started it
ALTER TABLE segue_runs ADD COLUMN parent_step integer;
