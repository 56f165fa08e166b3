"""Dispatch: ready steps of an executor become `sent`, and the process that asked sends their messages after the commit.

An exchange is to the process of an executor what a turn is to a worker: it reports how attempts ended, and takes what
may be sent now, in one transaction. A crash between the commit and the message leaves a step that is sent and never
begins; `overdue` finds it (engine/executing.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.claiming.assembling import Assembly
from segue.engine.claiming.claimed import ClaimedRow, in_order
from segue.engine.executing import Executor, resend_step
from segue.engine.expand import LargePlan
from segue.engine.notes import begin_runs
from segue.engine.record import NO_PLANS
from segue.engine.reporting import report
from segue.engine.stored import moment_of
from segue.engine.turn import TIMERS_AT_ONCE
from segue.model import Attempt, Job, Outcome
from segue.plan.namespaces import bare
from segue.store.protocol import Row


class Dispatch(NamedTuple):
    """What a process may send: steps that wait on the queues of its executor, `@celery:...`."""

    executor: Executor
    prefix: str  # of its queues' names, as they are stored
    limit: int = 500  # at most so many at once
    wait_seconds: float = 300.0  # a step that has not begun by then is looked for
    timers: bool = False  # look for timers that are due, too


class SentStep(NamedTuple):
    """An attempt that is to be sent now."""

    job: Job
    queue: str
    spec: str | None
    handle: str | None
    sent_at: datetime


class _SentRow(NamedTuple):
    """A row of `send_ready` or `sent_step`: the columns of a claimed step, and two more."""

    step: ClaimedRow
    spec: str | None
    handle: str | None


class Exchanged(NamedTuple):
    """What came of an exchange."""

    sent: list[SentStep]
    left: list[Outcome]  # of steps that need not run; the next exchange records them
    refused: int = 0  # outcomes that came too late
    is_full: bool = False  # there may be more to send
    timer_seconds: float | None = None  # until the next timer is due, if that was asked
    ended: Sequence[str] = ()  # runs that ended


def exchange(
    act: Act, outcomes: Sequence[Outcome], dispatch: Dispatch, *, by: str, first_of: Sequence[str] = (),
    plans: Mapping[Attempt, LargePlan] = NO_PLANS,
) -> Exchanged:  # fmt: skip
    """Record outcomes, and take what may be sent now. `first_of` are runs that are not known to have begun."""
    if first_of:
        begin_runs(act, first_of)
    reported = report(act, outcomes, by=by, plans=plans, wakes=False, from_sent=True)
    if dispatch.timers:
        act.tx.all("due_timers", now=act.now, limit=TIMERS_AT_ONCE)
    rows = act.tx.all(
        "send_ready", low=dispatch.prefix, high=_behind(dispatch.prefix), limit=dispatch.limit,
        fenced=dispatch.executor.is_fenced, now=act.now,
        sent_until=act.now + timedelta(seconds=dispatch.wait_seconds),
    )  # fmt: skip
    if reported.recorded.started > len(rows):
        act.tx.later("wake")  # some of it is not this executor's, or more than it takes now
    sent, left = _messages(act, rows, reported.recorded.results)
    seconds: float | None = None
    if dispatch.timers:
        upcoming = moment_of(act.tx, act.tx.all("next_timer")[0][0])
        seconds = None if upcoming is None else max((upcoming - act.now).total_seconds(), 0.0)
    refused, is_full = reported.recorded.refused, len(rows) >= dispatch.limit
    return Exchanged(sent, left, refused, is_full, seconds, list(act.ended_runs))


def resend(act: Act, attempt: Attempt, *, wait_seconds: float) -> Exchanged:
    """Take an attempt that was sent, and has not begun in time, once more: as the next, so the first is refused."""
    again = resend_step(act, attempt, until=act.now + timedelta(seconds=wait_seconds), is_next=True)
    if again is None:
        return Exchanged([], [])
    run_id, step, number = again
    rows = act.tx.all("sent_step", run_id=run_id, step=step, attempt=number)
    return Exchanged(*_messages(act, rows, {}))


def _messages(
    act: Act, rows: Sequence[Row], known: Mapping[tuple[str, int], str]
) -> tuple[list[SentStep], list[Outcome]]:  # fmt: skip
    found = [_SentRow(ClaimedRow(*claimed), spec, handle) for *claimed, spec, handle in rows]
    by_step = {(row.step.run_id, row.step.step): row for row in found}
    claimed = [row.step for row in found]
    in_order(claimed)
    jobs, left = Assembly(claimed, known).jobs(act.tx)
    return [_sent(job, by_step[job.run_id, job.step], act.now) for job in jobs], left


def _sent(job: Job, row: _SentRow, now: datetime) -> SentStep:
    return SentStep(job, bare(row.step.queue), row.spec, row.handle, now)


def _behind(prefix: str) -> str:
    """The first text that sorts behind everything that begins with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
