-- Pushes: attempts at an executor that is polled. Every change compares, so two dispatchers do no harm.

-- name: push_columns
p.id, p.run_id, p.step, p.attempt, p.external_id, p.tries, p.phase, p.reason, p.host, p.cancels, p.gone_at, p.tried_at,
    p.holder, p.beat_until, p.batch, p.place

-- name: due_pushes
-- Those that may leave now: their attempt is the current one, nothing holds their run, and it is not too late.
SELECT {push_columns} FROM segue_pushes p
WHERE p.executor = :executor AND p.state = 'planned' AND p.closed_at IS NULL AND p.due_at <= :now AND p.cancels = 0
AND {may_leave} IS NOT NULL
ORDER BY p.due_at, p.id LIMIT :limit;

-- name: may_leave
-- Looked up for each push, and never a join: see payloads.sql. Its words fit only the primary keys.
(SELECT 1 FROM segue_steps s WHERE s.run_id = p.run_id AND s.step = p.step AND s.attempt = p.attempt
AND s.status IN ('sent', 'running') AND s.status <> 'running' AND NOT s.cancel_requested
AND (SELECT r.finished_at IS NULL AND r.status <> 'paused' AND (r.intent IS NULL OR s.hook IS NOT NULL) FROM segue_runs r
    WHERE r.id >= p.run_id AND r.id <= p.run_id ORDER BY r.id LIMIT 1) LIMIT 1)

-- name: held_pushes
-- Planned ones that may not leave: they are withdrawn, because nothing of them exists outside. One that has begun was
-- searched for too early.
SELECT p.id, p.run_id, p.step, p.attempt FROM segue_pushes p
WHERE p.executor = :executor AND p.state = 'planned' AND p.closed_at IS NULL AND p.holder IS NULL
AND {may_leave} IS NULL
ORDER BY p.run_id, p.step LIMIT :limit;

-- name: take_push
-- Committed before the platform is called. From now on it may exist, until the platform has said that it does not.
UPDATE segue_pushes SET state = 'unsure', tries = tries + 1, tried_at = :now, due_at = :until
WHERE id = :id AND state = 'planned' AND due_at <= :now RETURNING tries;

-- name: unsure_pushes
SELECT {push_columns} FROM segue_pushes p
WHERE p.executor = :executor AND p.state = 'unsure' AND p.closed_at IS NULL AND p.due_at <= :now
ORDER BY p.due_at, p.id LIMIT :limit;

-- name: search_push
UPDATE segue_pushes SET due_at = :until WHERE id = :id AND state = 'unsure' AND due_at <= :now RETURNING id;

-- name: accept_push
UPDATE segue_pushes SET state = 'accepted', external_id = :external_id, reason = NULL
WHERE id = :id AND state = 'unsure' RETURNING run_id, step, attempt;

-- name: follow_push
UPDATE segue_pushes SET external_id = :external_id, gone_at = NULL
WHERE id = :id AND state = 'accepted' AND external_id = :before RETURNING run_id, step, attempt;

-- name: name_step
UPDATE segue_steps SET handle = :handle WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_live};

-- name: plan_push_again
-- Only by the process that submitted it last: a later submission is another's. What has begun is there, after all.
UPDATE segue_pushes SET state = 'planned', due_at = :due_at, reason = coalesce(CAST(:reason AS text), reason)
WHERE id = :id AND state = 'unsure' AND tries = :tries AND holder IS NULL RETURNING id;

-- name: note_unsure
UPDATE segue_pushes SET due_at = :due_at, reason = :reason
WHERE id = :id AND state = 'unsure' AND tries = :tries RETURNING id;

-- name: accepted_pushes
SELECT {push_columns} FROM segue_pushes p
WHERE p.executor = :executor AND p.state = 'accepted' AND p.closed_at IS NULL AND p.id > :after ORDER BY p.id LIMIT :limit;

-- name: see_push
UPDATE segue_pushes SET phase = :phase, reason = CAST(:reason AS text), host = coalesce(CAST(:host AS text), host),
    gone_at = CASE WHEN CAST(:is_gone AS boolean) THEN coalesce(gone_at, :now) END
WHERE id = :id AND state = 'accepted' RETURNING id;

-- name: pushes_to_end
-- Asked to end, or too late to begin, or no longer the current attempt of their step, or of a run that is gone.
SELECT {push_columns} FROM segue_pushes p
WHERE p.executor = :executor AND p.state = 'accepted' AND p.closed_at IS NULL AND (p.cancel_at IS NULL OR p.cancel_at <= :now)
AND (SELECT 1 FROM segue_steps s WHERE s.run_id = p.run_id AND s.step = p.step AND s.attempt = p.attempt
    AND s.status IN ('sent', 'running') AND NOT s.cancel_requested AND (s.status = 'running' OR p.cancels = 0)
    LIMIT 1) IS NULL
ORDER BY p.id LIMIT :limit;

-- name: note_late
-- It should have begun by now, and is to be ended, unless it begins after all.
UPDATE segue_pushes SET cancels = 1, cancel_at = :now
WHERE id = :id AND closed_at IS NULL AND cancels = 0 AND holder IS NULL RETURNING id;

-- name: note_cancel
UPDATE segue_pushes SET cancels = cancels + 1, cancel_at = :until
WHERE id = :id AND closed_at IS NULL AND cancels = :cancels RETURNING id;

-- name: withdraw_push
UPDATE segue_pushes SET state = 'closed', closed_at = :now
WHERE id = :id AND closed_at IS NULL AND state = 'planned' AND holder IS NULL RETURNING id;

-- name: open_push_of
SELECT id FROM segue_pushes WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND closed_at IS NULL;

-- name: push_of_attempt
SELECT {push_columns}, p.state FROM segue_pushes p
WHERE p.run_id = :run_id AND p.step = :step AND p.attempt = :attempt;

-- name: pushed_step
-- What a push runs, whether or not it has begun.
SELECT run_id, step, attempt, name, task, args, holes, NULL, policy, failures, priority, ready_at, queue, spec, handle
FROM segue_steps WHERE run_id = :run_id AND step = :step AND attempt = :attempt AND status IN ('sent', 'running');

-- name: errors_of_step
-- Of its earlier attempts.
SELECT error FROM segue_attempts WHERE run_id = :run_id AND step = :step AND status = 'failed' AND error IS NOT NULL;

-- name: unclean_pushes
-- What a batch left is removed when all of it has ended.
SELECT {push_columns} FROM segue_pushes p
WHERE p.executor = :executor AND p.closed_at IS NOT NULL AND p.closed_at <= :before AND p.cleaned_at IS NULL
AND (p.batch IS NULL OR {batch_is_open} IS NULL)
ORDER BY p.closed_at LIMIT :limit;

-- name: clean_push
UPDATE segue_pushes SET cleaned_at = :now WHERE id = :id;

-- name: prune_pushes
-- Of runs that were deleted.
DELETE FROM segue_pushes WHERE executor = :executor AND cleaned_at IS NOT NULL
AND (SELECT 1 FROM segue_runs r WHERE r.id >= segue_pushes.run_id AND r.id <= segue_pushes.run_id
    ORDER BY r.id LIMIT 1) IS NULL RETURNING id;

-- name: push_of_id
SELECT state, external_id, closed_at, holder FROM segue_pushes WHERE id = :id AND executor = :executor;

-- Processes that report by themselves: the caller holds the lock of the run --------------------------------------------

-- name: own_push
SELECT {push_columns}, p.state, p.executor, p.reported_at FROM segue_pushes p WHERE p.id = :id;

-- name: pushed_status
SELECT status, cancel_requested FROM segue_steps WHERE run_id = :run_id AND step = :step AND attempt = :attempt;

-- name: hold_push
-- The first process to begin it holds it. One that is planned again was searched for too early: it is searched for now.
UPDATE segue_pushes SET holder = :holder, beat_at = :now, beat_until = :until, host = coalesce(host, :host),
    state = CASE WHEN state = 'planned' THEN 'unsure' ELSE state END,
    due_at = CASE WHEN state = 'planned' THEN :now ELSE due_at END
WHERE id = :id AND closed_at IS NULL AND (holder IS NULL OR holder = :holder) RETURNING id;

-- name: beat_push
UPDATE segue_pushes SET beat_at = :now, beat_until = :until
WHERE id = :id AND closed_at IS NULL AND holder = :holder RETURNING run_id, step, attempt;

-- name: report_push
UPDATE segue_pushes SET state = 'closed', closed_at = :now, reported_at = :now
WHERE id = :id AND closed_at IS NULL AND holder = :holder RETURNING id;

-- name: open_pushes
-- How many are open, at most `limit`.
SELECT count(*) FROM (SELECT 1 FROM segue_pushes WHERE closed_at IS NULL LIMIT :limit) open;

-- What dispatchers know of their platforms -----------------------------------------------------------------------------

-- name: put_platform
INSERT INTO segue_platforms (executor, kind, pace, looked_at, blind_since, busy_since, problem, written_at)
VALUES (:executor, :kind, :pace, :looked_at, :blind_since, :busy_since, CAST(:problem AS text), :now)
ON CONFLICT (executor) DO UPDATE SET kind = excluded.kind, pace = excluded.pace,
    looked_at = coalesce(excluded.looked_at, segue_platforms.looked_at), blind_since = excluded.blind_since,
    busy_since = excluded.busy_since, problem = excluded.problem, written_at = excluded.written_at;

-- name: platforms
SELECT executor, kind, pace, looked_at, blind_since, busy_since, problem, written_at FROM segue_platforms
WHERE substr(executor, 1, length(CAST(:prefix AS text))) = CAST(:prefix AS text) ORDER BY executor;

-- name: pushes_by_state
SELECT executor, state, phase, count(*) FROM segue_pushes WHERE closed_at IS NULL GROUP BY executor, state, phase;

-- name: check_push_holders
SELECT p.run_id, 'step ' || p.step || ' has a push that reported, and no process held it, or it is still open'
FROM segue_pushes p WHERE p.reported_at IS NOT NULL AND (p.holder IS NULL OR p.closed_at IS NULL);

-- name: check_push_places
SELECT p.run_id, 'step ' || p.step || ' has a push with half a place in a batch, or one accepted without a name outside'
FROM segue_pushes p WHERE (p.batch IS NULL) <> (p.place IS NULL) OR (p.state = 'accepted' AND p.external_id IS NULL);

-- name: check_pushes
SELECT p.run_id, 'step ' || p.step || ' is sent or running, and its push is closed' FROM segue_pushes p
WHERE p.closed_at IS NOT NULL AND (SELECT 1 FROM segue_steps s WHERE s.run_id = p.run_id AND s.step = p.step
    AND s.attempt = p.attempt AND s.status IN ('sent', 'running') LIMIT 1) IS NOT NULL;
