-- What operators and clocks need: pauses and retries, events, alarms, schedules, limits, retention.

ALTER TABLE segue_runs ADD COLUMN arguments TEXT;       -- JSON [args, kwargs] that the workflow was called with
ALTER TABLE segue_runs ADD COLUMN tags TEXT;            -- JSON list of texts; segue_labels has them for searching
ALTER TABLE segue_runs ADD COLUMN metadata TEXT;        -- JSON object; segue_labels has its plain values
ALTER TABLE segue_runs ADD COLUMN forked_from TEXT;     -- the run whose results it took over
ALTER TABLE segue_runs ADD COLUMN discarded INTEGER NOT NULL DEFAULT 0;  -- Invariant: steps - discarded rows are there
ALTER TABLE segue_runs ADD COLUMN limit_name TEXT;      -- the limit of runs that it needs a place of; null: none
ALTER TABLE segue_runs ADD COLUMN limit_key TEXT;       -- '' where it is counted for all runs together
ALTER TABLE segue_runs ADD COLUMN admitted_at TEXT;  -- since when it has that place
-- Runs that have a place of their limit, and those that wait for one.
CREATE INDEX segue_runs_admitted ON segue_runs (limit_name, limit_key)
    WHERE limit_name IS NOT NULL AND finished_at IS NULL AND admitted_at IS NOT NULL;
CREATE INDEX segue_runs_waiting ON segue_runs (limit_name, limit_key, id)
    WHERE limit_name IS NOT NULL AND finished_at IS NULL AND admitted_at IS NULL;
CREATE INDEX segue_runs_error_type ON segue_runs (json_extract(error, '$.type'), id) WHERE error IS NOT NULL;

ALTER TABLE segue_steps ADD COLUMN lane TEXT;           -- JSON: the limits that it needs places of, and whose turn it uses
ALTER TABLE segue_steps ADD COLUMN planned_lane TEXT;   -- the lane before its keys were known
ALTER TABLE segue_steps ADD COLUMN planned_rule TEXT;   -- the rule before its task returned a plan
ALTER TABLE segue_steps ADD COLUMN event TEXT;          -- the name of the message that it waits for, or waited for
ALTER TABLE segue_steps ADD COLUMN metadata TEXT;       -- JSON object
-- Steps with a lane are claimed lane by lane; those that run hold places; those that wait for an event are listed.
CREATE INDEX segue_steps_limited ON segue_steps (queue, lane, priority DESC, ready_at, run_id, step)
    WHERE gate = 'limit' AND status = 'ready';
CREATE INDEX segue_steps_holding ON segue_steps (lane, queue) WHERE lane IS NOT NULL AND status IN ('running', 'sent');
CREATE INDEX segue_steps_event ON segue_steps (run_id, event, ready_at, step) WHERE gate = 'event' AND status = 'ready';

CREATE TABLE segue_labels (                             -- tags and plain metadata, one row each, for searching
    name TEXT NOT NULL,                                 -- '' for a tag, else the key of the metadata
    value TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step INTEGER NOT NULL DEFAULT -1,                   -- -1: of the run
    PRIMARY KEY (name, value, run_id, step)
);
CREATE INDEX segue_labels_run ON segue_labels (run_id);

CREATE TABLE segue_alarms (                             -- moments at which somebody must look at a run or step
    run_id TEXT NOT NULL,
    step INTEGER NOT NULL DEFAULT -1,                   -- -1: of the run
    kind TEXT NOT NULL,                                 -- deadline, late_start, late_end, schedule_to_start, wait
    due_at TEXT NOT NULL,
    seconds REAL,                           -- the time allowed, where it begins anew
    PRIMARY KEY (run_id, step, kind)
);
CREATE INDEX segue_alarms_due ON segue_alarms (due_at);

CREATE TABLE segue_messages (                           -- what was sent to a run, until a step takes it
    run_id TEXT NOT NULL,
    position INTEGER NOT NULL,                          -- in the order of sending, from 0
    name TEXT NOT NULL,
    key TEXT NOT NULL,                                  -- the sender's, or one made for this sending. Invariant: one message for each (run, name, key)
    value TEXT NOT NULL,                                -- JSON
    sent_at TEXT NOT NULL,
    taken_by INTEGER,                                   -- the step that took it
    PRIMARY KEY (run_id, position)
);
CREATE UNIQUE INDEX segue_messages_key ON segue_messages (run_id, name, key);
CREATE INDEX segue_messages_waiting ON segue_messages (run_id, name, position) WHERE taken_by IS NULL;

CREATE TABLE segue_events (                             -- what people did, and alerts; the steps themselves say the rest
    id TEXT PRIMARY KEY,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,                                 -- run.paused, run.retried, step.late_start ...
    run_id TEXT,
    step INTEGER,                                       -- null: about the run
    detail TEXT                                         -- JSON object
);
CREATE INDEX segue_events_run ON segue_events (run_id, id);

CREATE TABLE segue_subscriptions (                      -- who is told of events by a run of its own
    name TEXT PRIMARY KEY,
    events TEXT NOT NULL,                               -- JSON list of patterns
    workflow TEXT,                                      -- null: all
    target TEXT NOT NULL,                               -- JSON: the task and its arguments
    is_active INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL
);

CREATE TABLE segue_schedules (
    name TEXT PRIMARY KEY,
    workflow TEXT NOT NULL,                             -- the workflow or task it starts
    plan TEXT,                                          -- JSON: started as it is; null: the workflow is called at each tick
    tick_argument TEXT,                                 -- JSON: where in the plan the tick goes; null: nowhere
    arguments TEXT NOT NULL DEFAULT '[[],{}]',          -- JSON [args, kwargs]
    expression TEXT NOT NULL,                           -- cron, or "every ..."
    timezone TEXT NOT NULL DEFAULT 'UTC',
    anchor_at TEXT NOT NULL,                     -- from where intervals are counted
    starts_at TEXT,
    ends_at TEXT,
    jitter REAL NOT NULL DEFAULT 0,         -- seconds by which a tick is late at most
    is_active INTEGER NOT NULL DEFAULT 1,
    overlap TEXT NOT NULL CHECK (overlap IN ('skip', 'queue_one', 'queue_all', 'cancel_running', 'allow')),
    catch_up TEXT NOT NULL CHECK (catch_up IN ('none', 'latest', 'all')),
    catch_up_window REAL,                   -- seconds; null: without end
    tags TEXT,                                          -- JSON list, given to its runs
    source TEXT NOT NULL CHECK (source IN ('code', 'api')),
    problem TEXT,                                       -- why next_tick or the queue cannot be decided; null: not known to be so
    next_tick TEXT,                              -- Invariant: every tick before it is decided; null: there is none
    due_at TEXT,                                 -- next_tick with its jitter; null: nothing to do
    is_queueing INTEGER NOT NULL DEFAULT 0,             -- ticks of it may be queued
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX segue_schedules_due ON segue_schedules (due_at) WHERE is_active;
CREATE INDEX segue_schedules_queueing ON segue_schedules (name) WHERE is_queueing;

CREATE TABLE segue_ticks (                              -- what became of each tick
    schedule TEXT NOT NULL,
    tick TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('queued', 'started', 'skipped')),
    reason TEXT,
    run_id TEXT,
    is_open INTEGER NOT NULL DEFAULT 0,             -- queued, or its run was not seen to have ended
    decided_at TEXT NOT NULL,
    PRIMARY KEY (schedule, tick)                        -- Invariant: one tick, one run
);
CREATE INDEX segue_ticks_open ON segue_ticks (schedule, status, tick) WHERE is_open;
CREATE INDEX segue_ticks_run ON segue_ticks (run_id);

CREATE TABLE segue_leader (
    name TEXT PRIMARY KEY,                              -- what it leads: 'chores'
    holder TEXT NOT NULL,
    host TEXT NOT NULL,                                 -- host:pid
    term INTEGER NOT NULL,                               -- grows with every new holder
    since TEXT NOT NULL,
    lease_until TEXT NOT NULL
);

CREATE TABLE segue_retention (                          -- how long final runs are kept; the most specific row counts
    workflow TEXT NOT NULL,                             -- '' for all
    status TEXT NOT NULL,                               -- '' for all
    max_age REAL,                           -- seconds since the end; null: for ever
    max_count INTEGER,                                  -- of each workflow; null: any number
    PRIMARY KEY (workflow, status)
);

CREATE TABLE segue_limits (
    name TEXT PRIMARY KEY,                              -- task:NAME, workflow:NAME, queue:NAME, or a name of its own
    concurrency INTEGER,                                -- places; null: any number
    rate REAL,                              -- starts in each period; null: any number
    period REAL,                            -- seconds
    burst REAL,                             -- most tokens in the bucket
    source TEXT NOT NULL CHECK (source IN ('code', 'api')),  -- who says how large it is
    in_code INTEGER NOT NULL DEFAULT 0,            -- the code names it, so steps that need it say so themselves
    updated_at TEXT NOT NULL
);

CREATE TABLE segue_limit_keys (                         -- how much of a rate is used up, for each value of its key
    name TEXT NOT NULL,
    key TEXT NOT NULL DEFAULT '',
    full_at TEXT NOT NULL,                       -- when its bucket has all of its tokens again
    PRIMARY KEY (name, key)
);
CREATE INDEX segue_limit_keys_full ON segue_limit_keys (full_at);

CREATE TABLE segue_turns (                              -- who shares a queue fairly, and how much each has had
    queue TEXT NOT NULL,
    key TEXT NOT NULL,
    weight REAL,                            -- null: as the code says
    served REAL NOT NULL DEFAULT 0,         -- virtual time: cost / weight of what was claimed
    floor REAL NOT NULL DEFAULT 0,          -- the least of those that waited when it was served last
    served_at TEXT NOT NULL,
    PRIMARY KEY (queue, key)
);
CREATE INDEX segue_turns_idle ON segue_turns (served_at) WHERE weight IS NULL;

CREATE TABLE segue_bundles (                            -- starts that are put together until due
    run_id TEXT PRIMARY KEY,                            -- the run that they become; it is pending and has no steps
    workflow TEXT NOT NULL,
    key TEXT NOT NULL,
    keep TEXT NOT NULL CHECK (keep IN ('first', 'last', 'all')),
    begun_at TEXT NOT NULL,
    due_at TEXT NOT NULL,
    is_closed INTEGER NOT NULL DEFAULT 0,            -- takes no more starts, the next one begins another bundle
    plan TEXT,                                          -- JSON: what it starts; null: the workflow is called when it is due
    terms TEXT,                                         -- JSON: what the first start said of the run, where the workflow is called
    seen INTEGER NOT NULL,                              -- how many starts came
    starts TEXT NOT NULL                                -- JSON list of [id, [args, kwargs]]: those that it keeps
);
CREATE UNIQUE INDEX segue_bundles_key ON segue_bundles (workflow, key) WHERE NOT is_closed;
CREATE INDEX segue_bundles_due ON segue_bundles (due_at);
