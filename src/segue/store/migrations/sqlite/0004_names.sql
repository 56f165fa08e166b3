-- Tables get the names that users know: debounces, and shares of a queue. SQLite cannot rename an index.
ALTER TABLE segue_bundles RENAME TO segue_debounces;
DROP INDEX segue_bundles_key;
DROP INDEX segue_bundles_due;
CREATE UNIQUE INDEX segue_debounces_key ON segue_debounces (workflow, key) WHERE NOT is_closed;
CREATE INDEX segue_debounces_due ON segue_debounces (due_at);
ALTER TABLE segue_bundle_starts RENAME TO segue_debounce_starts;
DROP INDEX segue_bundle_starts_run;
CREATE UNIQUE INDEX segue_debounce_starts_run ON segue_debounce_starts (run_id, position);
ALTER TABLE segue_turns RENAME TO segue_shares;
DROP INDEX segue_turns_idle;
CREATE INDEX segue_shares_idle ON segue_shares (served_at) WHERE weight IS NULL;
