-- The tables of Segue. All times are UTC; JSON is kept as text exactly as it was written (cast it: result::json).
-- There are no foreign keys: rows are written in bulk by one engine, and `segue db check` finds what a key would refuse.

CREATE TABLE segue_runs (
    id uuid PRIMARY KEY,                        -- UUIDv7: ordered by time
    workflow text NOT NULL,
    key text,                                   -- Invariant: one run for each (workflow, key)
    status text NOT NULL CHECK (status IN ('pending', 'running', 'paused', 'succeeded', 'failed', 'cancelled')),
    intent text CHECK (intent IN ('failed', 'cancelled')),  -- how it will end: it is being cancelled, or failed fast
    outcome text CHECK (outcome IN ('succeeded', 'failed', 'cancelled')),  -- of its steps, while its hooks run
    waiting_on integer NOT NULL,                -- Invariant: steps with child -1 that are not final, of the present phase
    steps integer NOT NULL,                     -- how many there are; the next step gets this number
    fail_fast boolean NOT NULL DEFAULT false,
    has_hooks boolean NOT NULL DEFAULT false,
    result_expr text,                           -- JSON: where its result is
    error text,                                 -- JSON: step, type, message of the failure that decided
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX segue_runs_key ON segue_runs (workflow, key) WHERE key IS NOT NULL;
CREATE INDEX segue_runs_workflow ON segue_runs (workflow, id);
-- Not by status: a run that begins changes none of these, so on PostgreSQL that update stays within its page (HOT).
CREATE INDEX segue_runs_live ON segue_runs (id) WHERE finished_at IS NULL;
CREATE INDEX segue_runs_failed ON segue_runs (id) WHERE error IS NOT NULL;

CREATE TABLE segue_steps (
    run_id uuid NOT NULL,
    step integer NOT NULL,
    scope integer NOT NULL DEFAULT -1,          -- the step whose task returned the plan that this step is of; -1: the run's
    name text NOT NULL,
    task text,                                  -- null: a join, passed through without a worker
    is_join boolean NOT NULL DEFAULT false,     -- also true of a step that waits for the plan its task returned
    status text NOT NULL CHECK (status IN
        ('blocked', 'ready', 'sent', 'running', 'succeeded', 'failed', 'skipped', 'cancelled')),
    gate text,                                  -- what holds back a ready step; null: it may be claimed
    queue text NOT NULL DEFAULT 'default',
    priority smallint NOT NULL DEFAULT 5,
    ready_at timestamptz,                       -- since when it is ready, or (gate 'timer') when it will be claimable
    delay double precision,                     -- seconds between the end of its parents and ready_at
    attempt integer NOT NULL DEFAULT 0,         -- the fence: grows at every claim
    failures integer NOT NULL DEFAULT 0,        -- attempts that failed
    losses integer NOT NULL DEFAULT 0,          -- attempts whose worker was lost
    rule text NOT NULL DEFAULT 'all_succeeded',
    waiting_on integer NOT NULL DEFAULT 0,      -- Invariant: parents that are not final (while blocked)
    failed_above integer NOT NULL DEFAULT 0,    -- parents that ended failed or cancelled
    skipped_above integer NOT NULL DEFAULT 0,
    children integer[] NOT NULL,                -- who waits for this one; -1: the run
    hook text,
    outcome text,                               -- of a scope, while its hooks run
    has_hooks boolean NOT NULL DEFAULT false,   -- of a scope
    may_fail boolean NOT NULL DEFAULT false,
    args text NOT NULL DEFAULT '[[],{}]',       -- JSON [args, kwargs], null at the holes
    holes text,                                 -- JSON: what fills them, from which steps
    when_expr text,                             -- JSON: skipped when this is false
    policy text,                                -- JSON: retries, timeout ...; null: the defaults
    result text,                                -- JSON
    result_expr text,                           -- JSON: where the result of a join is
    error text,                                 -- JSON: of the latest failed attempt
    worker_id uuid,                             -- who runs it, or ran it last
    cancel_requested boolean NOT NULL DEFAULT false,
    started_at timestamptz,
    finished_at timestamptz,
    seconds double precision,                   -- how long the task itself ran, by its worker's stopwatch
    PRIMARY KEY (run_id, step)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
-- The claim walks the first, in order; timers come due by the second; rescue, cancel and heartbeat use the third.
CREATE INDEX segue_steps_ready ON segue_steps (queue, (-priority), ready_at, run_id, step)
    WHERE status = 'ready' AND gate IS NULL;
CREATE INDEX segue_steps_timer ON segue_steps (ready_at) WHERE status = 'ready' AND gate = 'timer';
CREATE INDEX segue_steps_running ON segue_steps (worker_id) WHERE status = 'running';
CREATE INDEX segue_steps_failed ON segue_steps (run_id, scope) WHERE status = 'failed';

CREATE TABLE segue_attempts (
    run_id uuid NOT NULL,
    step integer NOT NULL,
    attempt integer NOT NULL,
    status text NOT NULL,                       -- failed, lost, released; or how it ended when it printed something
    worker text NOT NULL,
    started_at timestamptz,
    finished_at timestamptz NOT NULL,
    error text,                                 -- JSON: type, message, traceback
    output text,                                -- the tail of what it printed and logged
    PRIMARY KEY (run_id, step, attempt)
);

CREATE TABLE segue_progress (
    run_id uuid NOT NULL,
    step integer NOT NULL,
    attempt integer NOT NULL,
    done double precision NOT NULL,
    total double precision,
    message text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (run_id, step)
);

CREATE TABLE segue_workers (
    id uuid PRIMARY KEY,                        -- new for every process, so that a restart is another worker
    name text NOT NULL,                         -- host:pid
    queues text NOT NULL,                       -- JSON list
    tasks text NOT NULL,                        -- JSON list: what it knows, and so may claim
    pool text NOT NULL,
    concurrency integer NOT NULL,
    version text NOT NULL,
    status text NOT NULL CHECK (status IN ('running', 'stopping', 'stopped', 'lost')),
    sleeping boolean NOT NULL DEFAULT false,    -- found nothing to do, and would like to be notified
    started_at timestamptz NOT NULL,
    heartbeat_at timestamptz NOT NULL,          -- the last turn that went through
    lease_until timestamptz NOT NULL            -- Invariant: after this any process may take its steps away
) WITH (fillfactor = 50);

-- The edges of the graph, one row each, for questions that are asked seldom.
CREATE VIEW segue_children AS SELECT s.run_id, s.step, c.child FROM segue_steps s CROSS JOIN LATERAL unnest(s.children) AS c(child);

