"""Steps that run at an external executor: sent, begun, recalled, sent again. No function here calls an executor.

    send      ready → sent, with the next attempt: commit it before calling the executor
    begin     sent → running, requested (or reported) by the process that begins; refused if the attempt is not the
              current one of its step, and in a paused run, where the step becomes ready again with the gate `paused`
    resend    the message may be lost (`overdue`): sent again, with the same attempt or the next
    recall    the message is withdrawn or gone: ready again; this does not count as a try
    retry     the attempt failed, and the executor's own retry follows
    report    how attempts ended (engine/reporting.py); an end also counts if its begin was never reported

Promises: the fence is (run, step, attempt), so of two messages with one attempt the first to begin wins, and reports of
an older attempt are refused. Every act may be repeated. A sent step is never forgotten: it has a `sent_until`, and if
it has not begun by then, `overdue` finds it, whichever process died.

A *fenced* executor asks before it begins. If an executor does not ask, a sent step may be running already: it is
cancelled only when the executor reports that it ended (`report`) or is gone (`recall`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.attempts import LockedRuns, end_attempt, look_at
from segue.engine.locking import LockedRun, hold_paused, lock_runs
from segue.engine.notes import begin_runs, note_starts
from segue.engine.progress import put_progress
from segue.engine.propagate import Propagation
from segue.engine.transitions import Begun, Change, Recalled, Resent, Retrying, Sent, decide
from segue.model import Attempt, Outcome, Progress, StepStatus, Verdict
from segue.store.protocol import Finish, Later, Transaction

HASTENED_SECONDS = 1.0
"""In this time a message that was sent after all is begun, and recorded as begun: it must not be sent twice."""

OVERDUE_AT_ONCE = 1000


class Executor(NamedTuple):
    """Where steps are sent, as stored in their rows."""

    name: str
    is_fenced: bool = True


class Overdue(NamedTuple):
    """A sent step that has not begun in time."""

    attempt: Attempt
    handle: str | None
    sent_at: datetime | None
    sent_until: datetime | None
    queue: str = ""  # as it is stored


def send_steps(
    act: Act, steps: Iterable[tuple[str, int]], *, to: Executor, until: datetime, handle: str | None = None
) -> list[Attempt]:
    """Send those of these steps, (run, step), that a worker could claim now. Returns their attempts.

    Steps with a gate are not sent, so those with limits are not, either. `until`: if a step has not begun by then, its
    message is checked. Example::

        sent = engine.act(send_steps, [(run_id, 0)], to=Executor("hpc"), until=now + timedelta(minutes=5))
    """
    wanted = sorted(set(steps))
    runs = LockedRuns(lock_runs(act.tx, {run_id for run_id, _ in wanted}))
    sent: list[Attempt] = []
    for run_id, step in wanted:
        act.tx.later("lock_step", run_id=run_id, step=step)  # a claim may be about to take it
        found = look_at(act, runs, run_id, step)
        change = None if found is None else decide(found.facts, Sent())
        if isinstance(change, Change) and act.tx.all(
            "send_step", run_id=run_id, step=step, attempt=change.attempt, executor=to.name, handle=handle,
            fenced=to.is_fenced, now=act.now, sent_until=until,
        ):  # fmt: skip
            sent.append((run_id, step, change.attempt))
    return sent


def begin_steps(act: Act, attempts: Iterable[Attempt], *, worker_id: str | None = None) -> list[Attempt]:
    """Begin those of these attempts that may begin, and return them. The others must not run.

    `worker_id` is the process whose lease covers them; a repeated call, after a lost answer, returns the same. None:
    the executor is polled, and no lease covers them.
    """
    wanted = sorted(set(attempts))
    locked = lock_runs(act.tx, {run_id for run_id, _, _ in wanted})
    runs = LockedRuns(locked)
    begun: list[Attempt] = []
    new: list[Attempt] = []
    for run_id, step, attempt in wanted:
        which = {"run_id": run_id, "step": step, "attempt": attempt}
        found = look_at(act, runs, run_id, step)
        change = None if found is None else decide(found.facts, Begun(attempt))
        if not isinstance(change, Change):
            if worker_id is not None and act.tx.all("is_begun_by", worker_id=worker_id, **which):
                begun.append((run_id, step, attempt))
        elif change.status is StepStatus.RUNNING:
            act.tx.all("begin_step", worker_id=worker_id, now=act.now, **which)
            new.append((run_id, step, attempt))
        else:
            act.tx.all(
                "requeue", gate=None, ready_at=act.now, failures=change.failures, losses=change.losses, error=None,
                **which,
            )  # fmt: skip
    if new:
        begin_runs(act, sorted({run_id for run_id, _, _ in new}))
        if act.journal is not None:
            note_starts(act.journal, new)
    hold_paused(act.tx, locked)
    return sorted(begun + new)


def begin_plainly(act: Act, attempt: Attempt, *, worker_id: str) -> Later | None:
    """Begin an attempt of a run that goes on as usual, without a lock of the run, as a claim does.

    There is a row if it has begun. If there is none, `begin_steps` says whether it may. None: only that can do it.
    """
    if act.journal is not None:
        return None
    run_id, step, number = attempt
    return act.tx.later(
        "begin_plainly", run_id=run_id, step=step, attempt=number, worker_id=worker_id, now=act.now
    )  # fmt: skip


def report_progress(act: Act, progress: Progress, *, worker_id: str | None) -> None:
    """Write the progress of an attempt, which has begun even if that was not reported. An older one changes nothing."""
    begin_steps(act, [(progress.run_id, progress.step, progress.attempt)], worker_id=worker_id)
    put_progress(act, progress)


def recall_steps(act: Act, attempts: Iterable[Attempt]) -> int:
    """Take back those of these attempts that have not begun: their messages are withdrawn or gone. Returns how many.

    They are ready again; in a run that is being ended they are cancelled.
    """
    wanted = [Outcome(*attempt, Verdict.RELEASED) for attempt in sorted(set(attempts))]
    return _end_all(act, [(outcome, Recalled(outcome.attempt)) for outcome in wanted], by=None)


def retry_steps(
    act: Act, outcomes: Sequence[Outcome], *, by: str, after_seconds: float = 0.0, held_until: datetime | None = None
) -> int:
    """Let the executor's own retries follow these failed attempts. Returns how many were accepted.

    With `held_until`, the executor's broker holds the next attempt already, and it should have begun by then.
    """
    events = [Retrying(outcome.attempt, after_seconds, held_until) for outcome in outcomes]
    return _end_all(act, list(zip(outcomes, events, strict=True)), by=by)


def retry_changed(
    act: Act, outcome: Outcome, *, by: str, after_seconds: float, args: str, spec: str | None
) -> bool:  # fmt: skip
    """The same for one attempt whose retry has other arguments and options; False when it came too late."""
    if not retry_steps(act, [outcome], by=by, after_seconds=after_seconds):
        return False
    act.tx.all("change_step", run_id=outcome.run_id, step=outcome.step, args=args, spec=spec)
    return True


def resend_steps(
    act: Act, attempts: Iterable[Attempt], *, until: datetime, is_next: bool = False
) -> list[Attempt]:  # fmt: skip
    """Send attempts again that may have been lost; returns the attempts to send.

    With `is_next` they are the next attempts, so that the first messages are refused if they were not lost after all.
    """
    wanted = sorted(set(attempts))
    runs = LockedRuns(lock_runs(act.tx, {run_id for run_id, _, _ in wanted}))
    resent = (_resend(act, runs, attempt, until, is_next=is_next, handle=None) for attempt in wanted)
    return [attempt for attempt in resent if attempt is not None]


def resend_step(
    act: Act, attempt: Attempt, *, until: datetime, is_next: bool = False, handle: str | None = None
) -> Attempt | None:
    """The same for one attempt, which may get another handle. Returns the attempt to send, or None."""
    runs = LockedRuns(lock_runs(act.tx, [attempt[0]]))
    return _resend(act, runs, attempt, until, is_next=is_next, handle=handle)


def _resend(
    act: Act, runs: LockedRuns, attempt: Attempt, until: datetime, *, is_next: bool, handle: str | None
) -> Attempt | None:
    run_id, step, number = attempt
    found = look_at(act, runs, run_id, step)
    change = None if found is None else decide(found.facts, Resent(number, is_next))
    if not isinstance(change, Change):
        return None
    act.tx.all(
        "resend_step", run_id=run_id, step=step, attempt=number, next_attempt=change.attempt, handle=handle,
        now=act.now, sent_until=until,
    )  # fmt: skip
    return run_id, step, change.attempt


def renew_sent(act: Act, attempt: Attempt, *, until: datetime) -> bool:
    """Let a sent attempt be overdue only later, because its process lives. False if it is not sent any more."""
    run_id, step, number = attempt
    return bool(act.tx.all("renew_sent", run_id=run_id, step=step, attempt=number, sent_until=until))


def renew_all(act: Act, attempts: Iterable[Attempt], *, until: datetime) -> None:
    """The same for many."""
    for run_id, step, number in attempts:
        act.tx.later("renew_sent", run_id=run_id, step=step, attempt=number, sent_until=until)


def hasten(act: Act, attempt: Attempt, *, executor: str) -> None:
    """Let the steps be overdue that were sent in the transaction that ended this attempt, whose process has died."""
    run_id, step, number = attempt
    due = act.now + timedelta(seconds=HASTENED_SECONDS)
    act.tx.all("hasten_sent_with", run_id=run_id, step=step, attempt=number, executor=executor, due=due)


def overdue(
    tx: Transaction, executor: str, now: datetime, *, prefix: str = "", limit: int = OVERDUE_AT_ONCE
) -> list[Overdue]:  # fmt: skip
    """Steps that were sent to this executor and have not begun in time, the longest overdue first.

    `prefix`: only those of queues whose stored names begin so, as those of one namespace do.
    """
    rows = tx.all("overdue_steps", executor=executor, now=now, prefix=prefix, limit=limit)
    return [
        Overdue((str(run_id), step, attempt), handle, tx.datetime(sent_at), tx.datetime(sent_until), queue)
        for run_id, step, attempt, handle, sent_at, sent_until, queue in rows
    ]


def next_overdue(tx: Transaction, executor: str) -> datetime | None:
    """When the next of this executor's steps will be overdue, if it has not begun by then; None if none is sent."""
    return tx.datetime(tx.all("next_overdue", executor=executor)[0][0])


def _end_all(act: Act, ending: Sequence[tuple[Outcome, Recalled | Retrying]], *, by: str | None) -> int:
    locked: list[LockedRun] = lock_runs(act.tx, {outcome.run_id for outcome, _ in ending})
    runs = LockedRuns(locked)
    ends = [end_attempt(act, runs, outcome, event, by=by) for outcome, event in ending]
    finishes = [end for end in ends if isinstance(end, Finish)]
    Propagation(act).run(finishes, ending=sorted(runs.ending))
    hold_paused(act.tx, locked)
    if runs.take_requeued():
        act.tx.later("wake")
    return sum(end is None or isinstance(end, Finish) for end in ends)
