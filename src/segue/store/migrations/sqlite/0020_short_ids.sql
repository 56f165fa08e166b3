-- Finds a run by the end of its id: the last 8 digits are random, while the ids of a minute begin alike.
CREATE INDEX segue_runs_end_of_id ON segue_runs (substr(id, -8));
