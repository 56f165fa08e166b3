"""Pushed attempts whose processes report by themselves: begun, beaten, reported, each in one short transaction.

    begin     the process in the job asks whether it may run the attempt, and gets what it runs; the first one holds it
    beat      it lives, and says how far it is; it hears whether it is to end
    report    how it ended, in the transaction that closes its push

Promises: of two processes with one push only one runs the task. Each act may be repeated by the process that holds the
push, after an answer that was lost. Nothing that a process says counts any more once its push is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.executing import begin_steps
from segue.engine.expand import LargePlan
from segue.engine.locking import lock_runs
from segue.engine.progress import put_progress
from segue.engine.pushing import PushRow, jobs_of, push_rows
from segue.engine.record import NO_PLANS
from segue.engine.reporting import report
from segue.errors import PushNotFoundError
from segue.model import Attempt, Job, Outcome, Progress, StepStatus, Verdict
from segue.plan.namespaces import bare

BEAT_SECONDS, SLOW_BEAT_SECONDS, MANY = 30.0, 300.0, 1000
"""Between two beats; from `MANY` open pushes on, the slow ones."""

MISSED_BEATS = 3.0
"""A process that has missed so many beats does not count as alive any more."""

_MAY_RUN = (StepStatus.SENT.value, StepStatus.RUNNING.value)


class BegunPush(NamedTuple):
    """An attempt that this process runs."""

    job: Job | None
    failed: Outcome | None  # in place of the job, if its arguments cannot be read
    executor: str
    beat_seconds: float
    is_to_end: bool  # it was asked to end before it began


def begin_push(act: Act, push_id: str, *, holder: str, host: str | None = None) -> BegunPush | None:
    """Begin the attempt of this push; None if it is another's, or over. Raises PushNotFoundError."""
    push, executor, _ = _own(act, push_id)
    lock_runs(act.tx, [push.run_id])
    status, is_to_end = _status(act, push.attempt)
    if status not in _MAY_RUN:
        return None
    [(count,)] = act.tx.all("open_pushes", limit=MANY)
    beat_seconds = BEAT_SECONDS if count < MANY else SLOW_BEAT_SECONDS
    until = act.now + timedelta(seconds=beat_seconds * MISSED_BEATS)
    if not act.tx.all("hold_push", id=push_id, holder=holder, host=host, now=act.now, until=until):
        return None
    begin_steps(act, [push.attempt])
    jobs, failed = jobs_of(act.tx, [push])
    job = jobs[0].job if jobs else None
    return BegunPush(job, failed[0] if failed else None, bare(executor), beat_seconds, is_to_end)


class Beat(NamedTuple):
    """What a process hears with its beat."""

    is_mine: bool  # False: the attempt was given up, and nothing that it says counts any more
    is_to_end: bool = False


def beat_push(
    act: Act, push_id: str, *, holder: str, beat_seconds: float, progress: Progress | None = None
) -> Beat:  # fmt: skip
    """Say that the process lives, and how far it is."""
    until = act.now + timedelta(seconds=beat_seconds * MISSED_BEATS)
    rows = act.tx.all("beat_push", id=push_id, holder=holder, now=act.now, until=until)
    if not rows:
        return Beat(False)
    run_id, step, number = rows[0]
    if progress is not None:
        put_progress(act, progress)
    status, is_to_end = _status(act, (str(run_id), step, number))
    return Beat(status is not None, is_to_end)


def report_push(
    act: Act, push_id: str, outcome: Outcome, *, holder: str, by: str, plans: Mapping[Attempt, LargePlan] = NO_PLANS
) -> bool:
    """Record how the attempt ended, and close its push. False if it is not this process's any more.

    An outcome that a transactional task has recorded itself only closes the push.
    """
    push, _, is_reported = _own(act, push_id)
    lock_runs(act.tx, [push.run_id])
    if not act.tx.all("report_push", id=push_id, holder=holder, now=act.now):
        return is_reported and push.holder == holder  # the answer to the first report was lost
    if outcome.verdict is not Verdict.RECORDED:
        report(act, [outcome], by=by, plans=plans)
    return True


def _status(act: Act, attempt: Attempt) -> tuple[str | None, bool]:
    """The status of the step if this is its attempt, and whether it was asked to end."""
    run_id, step, number = attempt
    for status, is_to_end in act.tx.all("pushed_status", run_id=run_id, step=step, attempt=number):
        return str(status), bool(is_to_end)
    return None, False


def _own(act: Act, push_id: str) -> tuple[PushRow, str, bool]:
    for *columns, _, executor, reported_at in act.tx.all("own_push", id=push_id):
        return push_rows(act.tx, [tuple(columns)])[0], str(executor), reported_at is not None
    raise PushNotFoundError(
        f"There is no push {push_id} in this database. Is it the database of the dispatcher that submitted the job?"
    )
