-- Starts that are put together have a row each, so that one more costs the same however many there are. Those of a bundle
-- that was begun by an older version are in segue_bundles.starts, before these.
ALTER TABLE segue_bundles ADD COLUMN bytes bigint NOT NULL DEFAULT 0;  -- of the arguments in segue_bundle_starts
CREATE TABLE segue_bundle_starts (
    id uuid PRIMARY KEY,                                -- of the start: UUIDv7. A start that is repeated finds itself
    run_id uuid NOT NULL,                               -- the run that it became a part of
    position integer NOT NULL,
    arguments text                                      -- JSON [args, kwargs]; null: the bundle does not keep those of all
);
CREATE UNIQUE INDEX segue_bundle_starts_run ON segue_bundle_starts (run_id, position);

-- Starts and rescues look for the workers that live, among all that ever were. By id, which no heartbeat changes.
CREATE INDEX segue_workers_live ON segue_workers (id) WHERE status IN ('running', 'stopping');

-- A step whose task returned one call, and nothing else, ends at once; this is the step that took its place in its scope.
ALTER TABLE segue_steps ADD COLUMN passed_on_to integer;
-- By whose clock a bucket was emptied last: one that was ahead must not keep it empty until its time comes.
ALTER TABLE segue_limit_keys ADD COLUMN taken_at timestamptz;  -- null: by an older version

-- What is left to do of an act on a run that is too large for one transaction, in order. Nearly always empty.
CREATE TABLE segue_unfinished (
    run_id uuid NOT NULL,
    position integer NOT NULL,
    items text NOT NULL,                                -- JSON: ends to be written, and what ends have set off
    PRIMARY KEY (run_id, position)
);

-- Large runs that were deleted, and whose steps are still to be: those before `next` are gone.
CREATE TABLE segue_discards (
    run_id uuid PRIMARY KEY,
    steps integer NOT NULL,
    next integer NOT NULL DEFAULT 0
);
