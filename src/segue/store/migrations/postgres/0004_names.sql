-- Tables get the names that users know: debounces, and shares of a queue.
ALTER TABLE segue_bundles RENAME TO segue_debounces;
ALTER INDEX segue_bundles_key RENAME TO segue_debounces_key;
ALTER INDEX segue_bundles_due RENAME TO segue_debounces_due;
ALTER TABLE segue_bundle_starts RENAME TO segue_debounce_starts;
ALTER INDEX segue_bundle_starts_run RENAME TO segue_debounce_starts_run;
ALTER TABLE segue_turns RENAME TO segue_shares;
ALTER INDEX segue_turns_idle RENAME TO segue_shares_idle;
