-- When a run begins that was started beforehand; null: at once. Until then it takes no place of its workflow's limit.
ALTER TABLE segue_runs ADD COLUMN run_at timestamptz;
