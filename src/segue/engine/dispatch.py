"""Dispatch: ready steps of an executor become `sent`, and the process that asked sends their messages after the commit.

An exchange is to the process of an executor what a turn is to a worker: it reports how attempts ended, and takes what
may be sent now, in one transaction. On PostgreSQL plain successes and the commit travel together, as in a plain turn
(engine/plain.py): what is sent is read after the commit. A crash between the commit and the message leaves a step that
is sent and never begins; `overdue` finds it (engine/executing.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.claiming.assembling import Assembly, without_unread
from segue.engine.claiming.claimed import ClaimedRow, in_order, sent_rows
from segue.engine.claiming.sending import Outlet, Sending, SendingMemory
from segue.engine.claiming.window import FIRST_CHARACTER, WINDOW
from segue.engine.executing import Executor, recall_steps, resend_steps
from segue.engine.expand import LargePlan
from segue.engine.limiting.places import LimitKey
from segue.engine.measuring import runs_ended
from segue.engine.notes import begin_runs
from segue.engine.plain import are_plain, heard_of, record_plainly
from segue.engine.record import NO_PLANS
from segue.engine.reporting import report
from segue.engine.rows import PlanRows
from segue.engine.start import NewRun, start_runs
from segue.engine.stored import moment_of
from segue.engine.turn import TIMERS_AT_ONCE
from segue.engine.watch import Watch
from segue.model import Attempt, Job, Outcome, StepStatus
from segue.plan.namespaces import bare
from segue.store.protocol import Row, Store, Transaction


class Dispatch(NamedTuple):
    """What a process may send: steps that wait on the queues of its executor, `@celery:...`."""

    executor: Executor
    prefix: str  # of its queues' names, as they are stored
    limit: int = 500  # at most so many at once
    wait_seconds: float = 300.0  # a step that has not begun by then is looked for
    timers: bool = False  # look for timers that are due, too
    window: int = WINDOW  # about so many steps of a queue are sent and have not begun; the rest waits
    is_one_queue: bool = False  # `prefix` is the whole name of the only queue

    @property
    def outlet(self) -> Outlet:
        """What is sent, and how, for `Sending`."""
        behind = self.prefix + FIRST_CHARACTER if self.is_one_queue else _behind(self.prefix)
        return Outlet(
            self.prefix, behind, self.executor.is_fenced, self.wait_seconds, self.executor.name, self.window
        )  # fmt: skip


class SentStep(NamedTuple):
    """An attempt that is to be sent now."""

    job: Job
    queue: str
    spec: str | None
    handle: str | None
    sent_at: datetime
    holds_places: bool = False  # of limits: its end is reported with `freed`
    priority: int = 0


class Exchanged(NamedTuple):
    """What came of an exchange."""

    sent: list[SentStep]
    left: list[Outcome]  # of steps that need not run; the next exchange records them
    refused: int = 0  # outcomes that came too late
    is_full: bool = False  # there may be more to send
    timer_seconds: float | None = None  # until the next timer is due or a rate lets a step go, if that was asked
    ended: Sequence[str] = ()  # runs that ended


def exchange(
    act: Act, outcomes: Sequence[Outcome], dispatch: Dispatch, *, by: str, memory: SendingMemory, freed: int = 0,
    first_of: Sequence[str] = (), plans: Mapping[Attempt, LargePlan] = NO_PLANS,
    also: Callable[[Act], object] | None = None,
) -> Exchanged:  # fmt: skip
    """Record outcomes, and take what may be sent now.

    `freed`: how many of the attempts held places of limits. `first_of` are runs that are not known to have begun.
    `also` is done at the end, in the same transaction.
    """
    if first_of:
        act.tx.later("lock_runs", ids=sorted({outcome.run_id for outcome in outcomes}))  # in one order, as ever
        begin_runs(act, first_of)  # which leaves out those that others hold: none of these
    is_asked = dispatch.executor.is_fenced  # before an attempt begins: then most of them are known to be running
    reported = report(act, outcomes, by=by, plans=plans, wakes=False, from_sent=not is_asked)
    started = reported.recorded.started
    if dispatch.timers:
        act.tx.all("due_timers", now=act.now, limit=TIMERS_AT_ONCE)
    if memory.lanes.binding:
        freed = len(outcomes)  # what was sent before a limit was set holds a place of it, too
    sending = Sending(act, dispatch.outlet, memory, want=dispatch.limit, freed=freed, expected=started)
    nothing_new = bool(outcomes) and not (started or freed or dispatch.timers or memory.window.is_due)
    rows = [] if nothing_new else sending.rows()
    is_for_others = started > len(rows) or sending.fills_window  # or it is not this executor's
    keeps_back = is_for_others and memory.window.may_wake()
    if keeps_back or sending.leaves_places or (sending.is_contended and not dispatch.timers):
        act.tx.later("wake")
    sent, left = _messages(act, rows, reported.recorded.results, lambda: nullcontext(act.tx), sending.holding)
    seconds = _seconds_until_next(act, sending) if dispatch.timers else None
    if also is not None:
        also(act)
    return Exchanged(sent, left, reported.recorded.refused, sending.is_full, seconds, list(act.ended_runs))


def _seconds_until_next(act: Act, sending: Sending) -> float | None:
    """When the next timer is due, or a rate lets the next step go."""
    upcoming = moment_of(act.tx, act.tx.all("next_timer")[0][0])
    seconds = [] if upcoming is None else [max((upcoming - act.now).total_seconds(), 0.0)]
    seconds += [] if sending.look_seconds is None else [sending.look_seconds]
    return min(seconds, default=None)


class Sender(NamedTuple):
    """How this process sends steps of an executor."""

    dispatch: Callable[[], Dispatch]
    deliver: Callable[[Exchanged], object]  # sends their messages, and takes more if there is more


class Started(NamedTuple):
    """Runs that were started, and what may be sent since then."""

    run_ids: list[str]
    act: Act  # which is over
    rows: list[ClaimedRow]
    holding: Collection[Attempt]  # those of them that hold places
    is_full: bool

    def taken(self, store: Store) -> Exchanged:
        """What is to be sent; its results are read now, so that none of them can undo the start."""
        sent, left = _messages(self.act, self.rows, {}, store.reading, self.holding)
        return Exchanged(sent, left, is_full=self.is_full)


def start_and_take(
    act: Act, runs: Sequence[NewRun], dispatch: Dispatch, *, memory: SendingMemory, missed: set[LimitKey],
    made: Mapping[str, PlanRows],
) -> Started:  # fmt: skip
    """Start runs, and take in the same transaction what may be sent."""
    run_ids = start_runs(act, runs, missed=missed, made=made)
    expected = sum(rows.claimable for rows in made.values())
    sending = Sending(act, dispatch.outlet, memory, want=dispatch.limit, expected=expected)
    return Started(run_ids, act, sending.rows(), sending.holding, sending.is_full)


def may_be_plain(
    store: Store, watch: Watch, outcomes: Sequence[Outcome], dispatch: Dispatch, memory: SendingMemory
) -> bool:  # fmt: skip
    """Whether a plain exchange may do it, judging without the database."""
    return (
        bool(outcomes) and store.sends_commit_along and watch.is_quiet and not dispatch.timers
        and memory.may_send_plainly(store.now()) and are_plain(outcomes)
    )  # fmt: skip


def exchange_plainly(
    store: Store,
    watch: Watch,
    outcomes: Sequence[Outcome],
    dispatch: Dispatch,
    memory: SendingMemory,
    *,
    first_of: Sequence[str] = (),
) -> tuple[Exchanged, Sequence[Outcome]]:
    """The same in one exchange with the server. Also returns the outcomes that need an ordinary one.

    Raises StoreError; then nothing has happened, as far as is known.
    """
    status = StepStatus.RUNNING if dispatch.executor.is_fenced else StepStatus.SENT
    with store.transaction() as tx:
        act = watch.begin(tx, store.now())
        hold = () if dispatch.executor.is_fenced else outcomes
        _, finished = record_plainly(act, outcomes, from_status=status.value, beginning=first_of, hold=hold)
        sending = Sending(act, dispatch.outlet, memory, want=dispatch.limit)
        sending.send()
    recorded, others, started, ended = heard_of(finished, outcomes)
    runs_ended(store, ended)
    rows, is_full = sending.plain_rows(), sending.is_full
    known = {(outcome.run_id, outcome.step): outcome.result or "null" for outcome in recorded}
    if started > len(rows) and not is_full and memory.window.may_wake():
        with store.transaction() as tx:
            tx.later("wake")
        if not memory.window.full:
            memory.lanes.saw_lanes()  # or perhaps not: the next exchange looks
            is_full = True
    sent, left = _messages(act, rows, known, store.reading)
    return Exchanged(sent, left, 0, is_full, None, ended), others


def together(first: Exchanged, then: Exchanged) -> Exchanged:
    """What came of two exchanges, the second of which did what the first had left."""
    return Exchanged(
        first.sent + then.sent, first.left + then.left, first.refused + then.refused, first.is_full or then.is_full,
        then.timer_seconds, [*first.ended, *then.ended],
    )  # fmt: skip


def resend(act: Act, attempts: Iterable[Attempt], *, wait_seconds: float) -> Exchanged:
    """Take attempts that were sent, and have not begun in time, once more: as the next, so the first are refused.

    In a run that is paused or being ended they are taken back instead: their messages may be gone, and if they come
    after all, they are old, so they are asked about before they begin.
    """
    attempts = list(attempts)
    until, rows = act.now + timedelta(seconds=wait_seconds), list[Row]()
    again: set[tuple[str, int]] = set()
    for run_id, step, number in resend_steps(act, attempts, until=until, is_next=True):
        again.add((run_id, step))
        rows += act.tx.all("sent_step", run_id=run_id, step=step, attempt=number)
    recall_steps(act, [attempt for attempt in attempts if attempt[:2] not in again])
    taken = sent_rows(rows)
    may_hold = {(row.run_id, row.step, row.attempt) for row in taken}  # which of them do is not looked up
    return Exchanged(*_messages(act, taken, {}, lambda: nullcontext(act.tx), may_hold))


def _messages(
    act: Act, rows: list[ClaimedRow], known: Mapping[tuple[str, int], str],
    reading: Callable[[], AbstractContextManager[Transaction]], holding: Collection[Attempt] = (),
) -> tuple[list[SentStep], list[Outcome]]:  # fmt: skip
    """What is to be sent for rows that were taken, with the results that go into it, read if they are not `known`."""
    if not rows:
        return [], []
    by_step = {(row.run_id, row.step): row for row in rows}
    in_order(rows)
    assembly = Assembly(rows, known)
    if not assembly.needs_database:
        jobs, left = assembly.jobs(None)
    else:
        with reading() as tx:
            jobs, left = assembly.jobs(tx)
    jobs, unread = without_unread(jobs)
    return [_sent(job, by_step[job.run_id, job.step], act.now, holding) for job in jobs], left + unread


def _sent(job: Job, row: ClaimedRow, now: datetime, holding: Collection[Attempt]) -> SentStep:
    holds_places = (row.run_id, row.step, row.attempt) in holding
    return SentStep(job, bare(row.queue), row.spec, row.handle, now, holds_places, row.priority)


def _behind(prefix: str) -> str:
    """The first text that sorts behind everything that begins with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
