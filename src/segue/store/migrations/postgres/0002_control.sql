-- What operators and clocks need: pauses and retries, events, alarms, schedules, limits, retention.

-- Each update of a step would pay a tenth of its time for them: `segue db check` looks for such rows instead.
ALTER TABLE segue_runs DROP CONSTRAINT segue_runs_status_check, DROP CONSTRAINT segue_runs_intent_check,
    DROP CONSTRAINT segue_runs_outcome_check;
ALTER TABLE segue_steps DROP CONSTRAINT segue_steps_status_check;

ALTER TABLE segue_runs ADD COLUMN arguments text;       -- JSON [args, kwargs] that the workflow was called with
ALTER TABLE segue_runs ADD COLUMN tags text;            -- JSON list of texts; segue_labels has them for searching
ALTER TABLE segue_runs ADD COLUMN metadata text;        -- JSON object; segue_labels has its plain values
ALTER TABLE segue_runs ADD COLUMN forked_from uuid;     -- the run whose results it took over
ALTER TABLE segue_runs ADD COLUMN discarded integer NOT NULL DEFAULT 0;  -- Invariant: steps - discarded rows are there
ALTER TABLE segue_runs ADD COLUMN limit_name text;      -- the limit of runs that it needs a place of; null: none
ALTER TABLE segue_runs ADD COLUMN limit_key text;       -- '' where it is counted for all runs together
ALTER TABLE segue_runs ADD COLUMN admitted_at timestamptz;  -- since when it has that place
-- Runs that have a place of their limit, and those that wait for one.
CREATE INDEX segue_runs_admitted ON segue_runs (limit_name, limit_key)
    WHERE limit_name IS NOT NULL AND finished_at IS NULL AND admitted_at IS NOT NULL;
CREATE INDEX segue_runs_waiting ON segue_runs (limit_name, limit_key, id)
    WHERE limit_name IS NOT NULL AND finished_at IS NULL AND admitted_at IS NULL;
CREATE INDEX segue_runs_error_type ON segue_runs ((error::json ->> 'type'), id) WHERE error IS NOT NULL;

ALTER TABLE segue_steps ADD COLUMN lane text;           -- JSON: the limits that it needs places of, and whose turn it uses
ALTER TABLE segue_steps ADD COLUMN planned_lane text;   -- the lane before its keys were known
ALTER TABLE segue_steps ADD COLUMN planned_rule text;   -- the rule before its task returned a plan
ALTER TABLE segue_steps ADD COLUMN event text;          -- the name of the message that it waits for, or waited for
ALTER TABLE segue_steps ADD COLUMN metadata text;       -- JSON object
-- Steps with a lane are claimed lane by lane; those that run hold places; those that wait for an event are listed.
CREATE INDEX segue_steps_limited ON segue_steps (queue, lane COLLATE "C", (-priority), ready_at, run_id, step)
    WHERE gate = 'limit' AND status = 'ready';
CREATE INDEX segue_steps_holding ON segue_steps (lane, queue) WHERE lane IS NOT NULL AND status IN ('running', 'sent');
CREATE INDEX segue_steps_event ON segue_steps (run_id, event, ready_at, step) WHERE gate = 'event' AND status = 'ready';

CREATE TABLE segue_labels (                             -- tags and plain metadata, one row each, for searching
    name text NOT NULL,                                 -- '' for a tag, else the key of the metadata
    value text NOT NULL,
    run_id uuid NOT NULL,
    step integer NOT NULL DEFAULT -1,                   -- -1: of the run
    PRIMARY KEY (name, value, run_id, step)
);
CREATE INDEX segue_labels_run ON segue_labels (run_id);

CREATE TABLE segue_alarms (                             -- moments at which somebody must look at a run or step
    run_id uuid NOT NULL,
    step integer NOT NULL DEFAULT -1,                   -- -1: of the run
    kind text NOT NULL,                                 -- deadline, late_start, late_end, schedule_to_start, wait
    due_at timestamptz NOT NULL,
    seconds double precision,                           -- the time allowed, where it begins anew
    PRIMARY KEY (run_id, step, kind)
);
CREATE INDEX segue_alarms_due ON segue_alarms (due_at);

CREATE TABLE segue_messages (                           -- what was sent to a run, until a step takes it
    run_id uuid NOT NULL,
    position integer NOT NULL,                          -- in the order of sending, from 0
    name text NOT NULL,
    key text NOT NULL,                                  -- the sender's, or one made for this sending. Invariant: one message for each (run, name, key)
    value text NOT NULL,                                -- JSON
    sent_at timestamptz NOT NULL,
    taken_by integer,                                   -- the step that took it
    PRIMARY KEY (run_id, position)
);
CREATE UNIQUE INDEX segue_messages_key ON segue_messages (run_id, name, key);
CREATE INDEX segue_messages_waiting ON segue_messages (run_id, name, position) WHERE taken_by IS NULL;

CREATE TABLE segue_events (                             -- what people did, and alerts; the steps themselves say the rest
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL,                                 -- run.paused, run.retried, step.late_start ...
    run_id uuid,
    step integer,                                       -- null: about the run
    detail text                                         -- JSON object
);
CREATE INDEX segue_events_run ON segue_events (run_id, id);

CREATE TABLE segue_subscriptions (                      -- who is told of events by a run of its own
    name text PRIMARY KEY,
    events text NOT NULL,                               -- JSON list of patterns
    workflow text,                                      -- null: all
    target text NOT NULL,                               -- JSON: the task and its arguments
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL
);

CREATE TABLE segue_schedules (
    name text PRIMARY KEY,
    workflow text NOT NULL,                             -- the workflow or task it starts
    plan text,                                          -- JSON: started as it is; null: the workflow is called at each tick
    tick_argument text,                                 -- JSON: where in the plan the tick goes; null: nowhere
    arguments text NOT NULL DEFAULT '[[],{}]',          -- JSON [args, kwargs]
    expression text NOT NULL,                           -- cron, or "every ..."
    timezone text NOT NULL DEFAULT 'UTC',
    anchor_at timestamptz NOT NULL,                     -- from where intervals are counted
    starts_at timestamptz,
    ends_at timestamptz,
    jitter double precision NOT NULL DEFAULT 0,         -- seconds by which a tick is late at most
    is_active boolean NOT NULL DEFAULT true,
    overlap text NOT NULL CHECK (overlap IN ('skip', 'queue_one', 'queue_all', 'cancel_running', 'allow')),
    catch_up text NOT NULL CHECK (catch_up IN ('none', 'latest', 'all')),
    catch_up_window double precision,                   -- seconds; null: without end
    tags text,                                          -- JSON list, given to its runs
    source text NOT NULL CHECK (source IN ('code', 'api')),
    problem text,                                       -- why next_tick or the queue cannot be decided; null: not known to be so
    next_tick timestamptz,                              -- Invariant: every tick before it is decided; null: there is none
    due_at timestamptz,                                 -- next_tick with its jitter; null: nothing to do
    is_queueing boolean NOT NULL DEFAULT false,         -- ticks of it may be queued
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX segue_schedules_due ON segue_schedules (due_at) WHERE is_active;
CREATE INDEX segue_schedules_queueing ON segue_schedules (name) WHERE is_queueing;

CREATE TABLE segue_ticks (                              -- what became of each tick
    schedule text NOT NULL,
    tick timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('queued', 'started', 'skipped')),
    reason text,
    run_id uuid,
    is_open boolean NOT NULL DEFAULT false,             -- queued, or its run was not seen to have ended
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (schedule, tick)                        -- Invariant: one tick, one run
);
CREATE INDEX segue_ticks_open ON segue_ticks (schedule, status, tick) WHERE is_open;
CREATE INDEX segue_ticks_run ON segue_ticks (run_id);

CREATE TABLE segue_leader (
    name text PRIMARY KEY,                              -- what it leads: 'chores'
    holder uuid NOT NULL,
    host text NOT NULL,                                 -- host:pid
    term bigint NOT NULL,                               -- grows with every new holder
    since timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);

CREATE TABLE segue_retention (                          -- how long final runs are kept; the most specific row counts
    workflow text NOT NULL,                             -- '' for all
    status text NOT NULL,                               -- '' for all
    max_age double precision,                           -- seconds since the end; null: for ever
    max_count integer,                                  -- of each workflow; null: any number
    PRIMARY KEY (workflow, status)
);

CREATE TABLE segue_limits (
    name text PRIMARY KEY,                              -- task:NAME, workflow:NAME, queue:NAME, or a name of its own
    concurrency integer,                                -- places; null: any number
    rate double precision,                              -- starts in each period; null: any number
    period double precision,                            -- seconds
    burst double precision,                             -- most tokens in the bucket
    source text NOT NULL CHECK (source IN ('code', 'api')),  -- who says how large it is
    in_code boolean NOT NULL DEFAULT false,            -- the code names it, so steps that need it say so themselves
    updated_at timestamptz NOT NULL
);

CREATE TABLE segue_limit_keys (                         -- how much of a rate is used up, for each value of its key
    name text NOT NULL,
    key text NOT NULL DEFAULT '',
    full_at timestamptz NOT NULL,                       -- when its bucket has all of its tokens again
    PRIMARY KEY (name, key)
);
CREATE INDEX segue_limit_keys_full ON segue_limit_keys (full_at);

CREATE TABLE segue_turns (                              -- who shares a queue fairly, and how much each has had
    queue text NOT NULL,
    key text NOT NULL,
    weight double precision,                            -- null: as the code says
    served double precision NOT NULL DEFAULT 0,         -- virtual time: cost / weight of what was claimed
    floor double precision NOT NULL DEFAULT 0,          -- the least of those that waited when it was served last
    served_at timestamptz NOT NULL,
    PRIMARY KEY (queue, key)
);
CREATE INDEX segue_turns_idle ON segue_turns (served_at) WHERE weight IS NULL;

CREATE TABLE segue_bundles (                            -- starts that are put together until due
    run_id uuid PRIMARY KEY,                            -- the run that they become; it is pending and has no steps
    workflow text NOT NULL,
    key text NOT NULL,
    keep text NOT NULL CHECK (keep IN ('first', 'last', 'all')),
    begun_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    is_closed boolean NOT NULL DEFAULT false,            -- takes no more starts, the next one begins another bundle
    plan text,                                          -- JSON: what it starts; null: the workflow is called when it is due
    terms text,                                         -- JSON: what the first start said of the run, where the workflow is called
    seen integer NOT NULL,                              -- how many starts came
    starts text NOT NULL                                -- JSON list of [id, [args, kwargs]]: those that it keeps
);
CREATE UNIQUE INDEX segue_bundles_key ON segue_bundles (workflow, key) WHERE NOT is_closed;
CREATE INDEX segue_bundles_due ON segue_bundles (due_at);
