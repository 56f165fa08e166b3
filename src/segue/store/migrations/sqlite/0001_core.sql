-- The tables of Segue. Times are text "YYYY-MM-DD HH:MM:SS.ffffff", UTC; JSON is text; children is a JSON list.
-- There are no foreign keys: rows are written in bulk by one engine, and `segue db check` finds what a key would refuse.

CREATE TABLE segue_runs (
    id TEXT PRIMARY KEY,                        -- UUIDv7: ordered by time
    workflow TEXT NOT NULL,
    key TEXT,                                   -- Invariant: one run for each (workflow, key)
    status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'paused', 'succeeded', 'failed', 'cancelled')),
    intent TEXT CHECK (intent IN ('failed', 'cancelled')),  -- how it will end: it is being cancelled, or failed fast
    outcome TEXT CHECK (outcome IN ('succeeded', 'failed', 'cancelled')),  -- of its steps, while its hooks run
    waiting_on INTEGER NOT NULL,                -- Invariant: steps with child -1 that are not final, of the present phase
    steps INTEGER NOT NULL,                     -- how many there are; the next step gets this number
    fail_fast INTEGER NOT NULL DEFAULT 0,
    has_hooks INTEGER NOT NULL DEFAULT 0,
    result_expr TEXT,                           -- JSON: where its result is
    error TEXT,                                 -- JSON: step, type, message of the failure that decided
    created_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT
);
CREATE UNIQUE INDEX segue_runs_key ON segue_runs (workflow, key) WHERE key IS NOT NULL;
CREATE INDEX segue_runs_workflow ON segue_runs (workflow, id);
-- Not by status: a run that begins changes none of these, so on PostgreSQL that update stays within its page (HOT).
CREATE INDEX segue_runs_live ON segue_runs (id) WHERE finished_at IS NULL;
CREATE INDEX segue_runs_failed ON segue_runs (id) WHERE error IS NOT NULL;

CREATE TABLE segue_steps (
    run_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    scope INTEGER NOT NULL DEFAULT -1,          -- the step whose task returned the plan that this step is of; -1: the run's
    name TEXT NOT NULL,
    task TEXT,                                  -- null: a join, passed through without a worker
    is_join INTEGER NOT NULL DEFAULT 0,     -- also true of a step that waits for the plan its task returned
    status TEXT NOT NULL CHECK (status IN
        ('blocked', 'ready', 'sent', 'running', 'succeeded', 'failed', 'skipped', 'cancelled')),
    gate TEXT,                                  -- what holds back a ready step; null: it may be claimed
    queue TEXT NOT NULL DEFAULT 'default',
    priority INTEGER NOT NULL DEFAULT 5,
    ready_at TEXT,                       -- since when it is ready, or (gate 'timer') when it will be claimable
    delay REAL,                     -- seconds between the end of its parents and ready_at
    attempt INTEGER NOT NULL DEFAULT 0,         -- the fence: grows at every claim
    failures INTEGER NOT NULL DEFAULT 0,        -- attempts that failed
    losses INTEGER NOT NULL DEFAULT 0,          -- attempts whose worker was lost
    rule TEXT NOT NULL DEFAULT 'all_succeeded',
    waiting_on INTEGER NOT NULL DEFAULT 0,      -- Invariant: parents that are not final (while blocked)
    failed_above INTEGER NOT NULL DEFAULT 0,    -- parents that ended failed or cancelled
    skipped_above INTEGER NOT NULL DEFAULT 0,
    children TEXT NOT NULL,                     -- who waits for this one; -1: the run
    hook TEXT,
    outcome TEXT,                               -- of a scope, while its hooks run
    has_hooks INTEGER NOT NULL DEFAULT 0,   -- of a scope
    may_fail INTEGER NOT NULL DEFAULT 0,
    args TEXT NOT NULL DEFAULT '[[],{}]',       -- JSON [args, kwargs], null at the holes
    holes TEXT,                                 -- JSON: what fills them, from which steps
    when_expr TEXT,                             -- JSON: skipped when this is false
    policy TEXT,                                -- JSON: retries, timeout ...; null: the defaults
    result TEXT,                                -- JSON
    result_expr TEXT,                           -- JSON: where the result of a join is
    error TEXT,                                 -- JSON: of the latest failed attempt
    worker_id TEXT,                             -- who runs it, or ran it last
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    started_at TEXT,
    finished_at TEXT,
    seconds REAL,                   -- how long the task itself ran, by its worker's stopwatch
    PRIMARY KEY (run_id, step)
);
-- The claim walks the first, in order; timers come due by the second; rescue, cancel and heartbeat use the third.
CREATE INDEX segue_steps_ready ON segue_steps (queue, priority DESC, ready_at, run_id, step)
    WHERE status = 'ready' AND gate IS NULL;
CREATE INDEX segue_steps_timer ON segue_steps (ready_at) WHERE status = 'ready' AND gate = 'timer';
CREATE INDEX segue_steps_running ON segue_steps (worker_id) WHERE status = 'running';
CREATE INDEX segue_steps_failed ON segue_steps (run_id, scope) WHERE status = 'failed';

CREATE TABLE segue_attempts (
    run_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    status TEXT NOT NULL,                       -- failed, lost, released; or how it ended when it printed something
    worker TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT NOT NULL,
    error TEXT,                                 -- JSON: type, message, traceback
    output TEXT,                                -- the tail of what it printed and logged
    PRIMARY KEY (run_id, step, attempt)
);

CREATE TABLE segue_progress (
    run_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    done REAL NOT NULL,
    total REAL,
    message TEXT NOT NULL DEFAULT '',
    started_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (run_id, step)
);

CREATE TABLE segue_workers (
    id TEXT PRIMARY KEY,                        -- new for every process, so that a restart is another worker
    name TEXT NOT NULL,                         -- host:pid
    queues TEXT NOT NULL,                       -- JSON list
    tasks TEXT NOT NULL,                        -- JSON list: what it knows, and so may claim
    pool TEXT NOT NULL,
    concurrency INTEGER NOT NULL,
    version TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('running', 'stopping', 'stopped', 'lost')),
    sleeping INTEGER NOT NULL DEFAULT 0,    -- found nothing to do, and would like to be notified
    started_at TEXT NOT NULL,
    heartbeat_at TEXT NOT NULL,          -- the last turn that went through
    lease_until TEXT NOT NULL            -- Invariant: after this any process may take its steps away
);

-- The edges of the graph, one row each, for questions that are asked seldom.
CREATE VIEW segue_children AS SELECT s.run_id, s.step, c.value AS child FROM segue_steps s, json_each(s.children) c;
