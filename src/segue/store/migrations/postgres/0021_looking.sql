-- What pages look for, among millions of rows. No step pays for it: rows of runs that succeed are in none of the indexes.
ALTER TABLE segue_runs ADD COLUMN started_by text;       -- who started it; null: not said
ALTER TABLE segue_attempts ADD COLUMN fingerprint text;  -- the same for errors of the same kind, see engine/fingerprint.py
ALTER TABLE segue_events ADD COLUMN actor text;          -- who did it, as in its detail
UPDATE segue_events SET actor = detail::json ->> 'actor' WHERE detail LIKE '%"actor"%' AND strpos(detail, '\u0000') = 0;

CREATE INDEX segue_runs_failed_at ON segue_runs (finished_at, id) WHERE error IS NOT NULL;
-- A run that was cancelled had the intent to be. Its status would be in the way of updates that stay within their page.
CREATE INDEX segue_runs_cancelled ON segue_runs (id) WHERE intent = 'cancelled' AND finished_at IS NOT NULL;
CREATE INDEX segue_runs_forked ON segue_runs (forked_from, id) WHERE forked_from IS NOT NULL;
CREATE INDEX segue_attempts_failed ON segue_attempts (finished_at, run_id, step, attempt) WHERE status IN ('failed', 'lost');
CREATE INDEX segue_attempts_fingerprint ON segue_attempts (fingerprint, finished_at, run_id) WHERE fingerprint IS NOT NULL;
CREATE INDEX segue_events_kind ON segue_events (kind, id);
CREATE INDEX segue_events_actor ON segue_events (actor, id) WHERE actor IS NOT NULL;
CREATE INDEX segue_workers_ended ON segue_workers (status, id) WHERE status IN ('lost', 'stopped');
