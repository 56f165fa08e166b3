"""Pushes: attempts at an executor that is polled, such as a batch system. No function here calls the platform.

    planned    an attempt was sent, and a push of it was written in the same transaction; nothing exists outside
    unsure     the process that submits it has said so, and commits it before the call: from now on it may exist
    accepted   the platform has it, under `external_id`
    closed     its end is recorded, in the same transaction; or nothing of it was ever outside

    planned → unsure → accepted → closed
       ↑________|  the platform said that it does not exist: it was busy, or was asked and did not know it

Promises: a job exists outside only if a row said before that it may. An unsure push is searched for before it is
submitted again. Each change compares the state, so a dispatcher may die after any of them, and two do no harm. What is
pushed is never under the lease of a process: the platform is asked, and until it answers, the step waits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.claiming.assembling import Assembly
from segue.engine.claiming.claimed import sent_rows
from segue.engine.claiming.sending import SendingMemory
from segue.engine.dispatch import Dispatch, Exchanged, exchange
from segue.engine.executing import begin_steps, overdue, recall_steps, renew_all
from segue.engine.expand import LargePlan
from segue.engine.late_pushes import SCHEDULE_TO_START_TIMEOUT
from segue.engine.record import NO_PLANS
from segue.engine.stored import error_of, storable
from segue.model import Attempt, ErrorInfo, Job, Outcome, Verdict
from segue.plan.pushed import OUT_OF_MEMORY, grows
from segue.store.protocol import Row, Transaction

AT_ONCE = 200
"""Pushes in one transaction."""

EXIT_SECONDS = 120.0
"""A process that has reported by itself may take so long to end; then its job is one too many."""


class PushRow(NamedTuple):
    """A push, as the database knows it."""

    id: str
    run_id: str
    step: int
    number: int  # of the attempt
    external_id: str | None
    tries: int
    phase: str | None
    reason: str | None
    host: str | None
    cancels: int
    gone_at: datetime | None
    tried_at: datetime | None
    holder: str | None = None  # the process that began it, if such processes report by themselves
    beat_until: datetime | None = None  # until then that process counts as alive
    batch: str | None = None
    place: int | None = None

    @property
    def attempt(self) -> Attempt:
        """What the push runs: (run, step, attempt)."""
        return (self.run_id, self.step, self.number)

    def is_alive(self, now: datetime) -> bool:
        """Whether its process says so itself."""
        return self.beat_until is not None and self.beat_until > now


class PushedJob(NamedTuple):
    """What a push runs."""

    push: PushRow
    job: Job
    spec: str | None
    out_of_memory: int = 0  # how many earlier attempts ran out of memory; counted only if that gives it more


class Seen(NamedTuple):
    """What the platform said of an accepted push."""

    push: PushRow
    phase: str
    reason: str | None = None
    host: str | None = None
    has_begun: bool = False
    is_gone: bool = False  # the platform does not know it


def hand_out(
    act: Act, outcomes: Sequence[Outcome], closed: Iterable[str], dispatch: Dispatch, *, executor: str, by: str,
    memory: SendingMemory, plans: Mapping[Attempt, LargePlan] = NO_PLANS,
) -> Exchanged:  # fmt: skip
    """Record how pushes ended, close them, and plan a push for each step that may be sent now.

    `executor` is the executor's name with its namespace. An outcome that comes too late is refused, and its push is
    closed all the same: the platform has nothing of it any more.
    """
    first_of = sorted({outcome.run_id for outcome in outcomes})
    taken = exchange(
        act, outcomes, dispatch, by=by, memory=memory, freed=len(outcomes), first_of=first_of, plans=plans
    )  # fmt: skip
    ended = sorted(closed)
    if ended:
        act.tx.all("close_pushes", ids=ended, now=act.now)
    now = act.tx.time(act.now)
    planned = [(act.new_id(), executor, sent.job.run_id, sent.job.step, sent.job.attempt, now, now)
               for sent in taken.sent]  # fmt: skip
    act.tx.each("put_pushes", planned)
    return taken


def due_pushes(tx: Transaction, executor: str, now: datetime, *, limit: int = AT_ONCE) -> list[PushRow]:
    """Planned pushes that may be submitted now, the longest due first."""
    return push_rows(tx, tx.all("due_pushes", executor=executor, now=now, limit=limit))


def take(act: Act, push: PushRow, *, seconds: float) -> PushRow | None:
    """Say that this push may exist from now on; None if another process has said so. Commit it before the call.

    If nothing is heard within `seconds`, the push is searched for.
    """
    rows = act.tx.all("take_push", id=push.id, now=act.now, until=act.now + timedelta(seconds=seconds))
    return push._replace(tries=rows[0][0]) if rows else None


def take_all(act: Act, pushes: Iterable[PushRow], *, seconds: float) -> list[PushRow]:
    """The same for some; returns those that no other process has taken."""
    taken = (take(act, push, seconds=seconds) for push in sorted(pushes, key=lambda push: push.id))
    return [push for push in taken if push is not None]


def withdraw(act: Act, executor: str, *, limit: int = AT_ONCE) -> int:
    """Take back planned pushes that may not leave: their run is paused or being ended. Returns how many."""
    held = [(str(id_), (str(run_id), step, number)) for id_, run_id, step, number in _held(act.tx, executor, limit)]
    recall_steps(act, [attempt for _, attempt in held])
    for push_id, _ in held:
        act.tx.all("withdraw_push", id=push_id, now=act.now)
    return len(held)


def has_held(tx: Transaction, executor: str) -> bool:
    """Whether `withdraw` would find something."""
    return bool(_held(tx, executor, 1))


def unsure_pushes(tx: Transaction, executor: str, now: datetime, *, limit: int = AT_ONCE) -> list[PushRow]:
    """Pushes that may exist, and of which nothing was heard in time."""
    return push_rows(tx, tx.all("unsure_pushes", executor=executor, now=now, limit=limit))


def search(act: Act, pushes: Iterable[PushRow], *, seconds: float) -> list[PushRow]:
    """Those of unsure pushes that the caller is to search for; for `seconds`, no other process does."""
    until = act.now + timedelta(seconds=seconds)
    return [push for push in pushes if act.tx.all("search_push", id=push.id, now=act.now, until=until)]


def accept(act: Act, push: PushRow, external_id: str) -> bool:
    """The platform has it. False if the push has another id already, or was closed: then this one is a stray."""
    rows = act.tx.all("accept_push", id=push.id, external_id=external_id)
    for run_id, step, number in rows:
        act.tx.all("name_step", run_id=run_id, step=step, attempt=number, handle=external_id)
    return bool(rows)


def follow(act: Act, push: PushRow, external_id: str) -> None:
    """Follow another job of this push, which has begun the attempt. The one before becomes a stray."""
    for run_id, step, number in act.tx.all("follow_push", id=push.id, before=push.external_id, external_id=external_id):
        act.tx.all("name_step", run_id=run_id, step=step, attempt=number, handle=external_id)


def plan_again(act: Act, push: PushRow, *, seconds: float, reason: str | None = None) -> bool:
    """The platform does not have it, for certain: submit it again after `seconds`."""
    due = act.now + timedelta(seconds=seconds)
    return bool(act.tx.all("plan_push_again", id=push.id, due_at=due, reason=_text(reason), tries=push.tries))


def note_unsure(act: Act, push: PushRow, *, seconds: float, reason: str) -> None:
    """No answer came: search for it after `seconds`."""
    due = act.now + timedelta(seconds=seconds)
    act.tx.all("note_unsure", id=push.id, due_at=due, reason=_text(reason), tries=push.tries)


def accepted_pushes(tx: Transaction, executor: str, *, after: str, limit: int = AT_ONCE) -> list[PushRow]:
    """Pushes that the platform has, in the order of their ids, behind `after`."""
    return push_rows(tx, tx.all("accepted_pushes", executor=executor, after=after, limit=limit))


def see(act: Act, news: Sequence[Seen]) -> None:
    """Write what the platform said; attempts that it has begun are running."""
    begin_steps(act, [seen.push.attempt for seen in news if seen.has_begun])
    for seen in sorted(news, key=lambda seen: seen.push.id):
        act.tx.all(
            "see_push", id=seen.push.id, phase=seen.phase, reason=_text(seen.reason), host=_text(seen.host),
            is_gone=seen.is_gone, now=act.now,
        )  # fmt: skip


def pushes_to_end(tx: Transaction, executor: str, now: datetime, *, limit: int = AT_ONCE) -> list[PushRow]:
    """Pushes that the platform is to end: asked to end, or no longer the current attempt of their step."""
    return push_rows(tx, tx.all("pushes_to_end", executor=executor, now=now, limit=limit))


def note_cancel(act: Act, pushes: Iterable[PushRow], *, seconds: float) -> list[PushRow]:
    """Those of these pushes that the caller is to end; for `seconds`, the platform is not asked again."""
    until = act.now + timedelta(seconds=seconds)
    return [push for push in pushes if act.tx.all("note_cancel", id=push.id, cancels=push.cancels, until=until)]


def late_outcome(tx: Transaction, push: PushRow, ended: Outcome) -> Outcome:
    """The outcome of a push that Segue has ended: as it is, if its step was asked to end; or that it was too late."""
    run_id, step, number = push.attempt
    rows = tx.all("pushed_status", run_id=run_id, step=step, attempt=number)
    is_too_late = any(not is_asked_to_end for _, is_asked_to_end in rows)
    if ended.verdict is not Verdict.CANCELLED or not is_too_late:
        return ended
    said = f": {push.reason}" if push.reason else ""
    error = ErrorInfo(
        SCHEDULE_TO_START_TIMEOUT, f"its executor did not begin it within its schedule_to_start, and has ended it{said}"
    )
    return Outcome(*push.attempt, Verdict.FAILED, error=error, retryable=False, output=ended.output)


def repair(act: Act, executor_name: str, *, seconds: float) -> int:
    """Deal with steps that were sent and have not begun for long; returns how many were taken back.

    One that has a push goes on waiting. One that has none was sent by a process that died before it said that the step
    need not run: it is ready again.
    """
    found = overdue(act.tx, executor_name, act.now, limit=AT_ONCE)
    waiting, lost = list[Attempt](), list[Attempt]()
    for late in found:
        run_id, step, number = late.attempt
        has_push = act.tx.all("open_push_of", run_id=run_id, step=step, attempt=number)
        (waiting if has_push else lost).append(late.attempt)
    recalled = recall_steps(act, lost)
    renew_all(act, sorted(waiting), until=act.now + timedelta(seconds=seconds))
    return recalled


def jobs_of(
    tx: Transaction, pushes: Collection[PushRow]
) -> tuple[list[PushedJob], list[Outcome]]:  # fmt: skip
    """What each push runs; and outcomes of those whose arguments cannot be read."""
    asked = [tx.later("pushed_step", run_id=push.run_id, step=push.step, attempt=push.number) for push in pushes]
    taken = sent_rows(row for later in asked for row in later.rows())
    specs = {(row.run_id, row.step, row.attempt): row.spec for row in taken}
    jobs, failed = Assembly(taken, {}).jobs(tx)
    by_attempt = {(job.run_id, job.step, job.attempt): job for job in jobs}
    found = []
    for push in pushes:
        job = by_attempt.get(push.attempt)
        if job is not None:
            spec = specs[push.attempt]
            found.append(PushedJob(push, job, spec, _out_of_memory(tx, job) if grows(spec) and job.failures else 0))
    return found, failed


def commands_of(tx: Transaction, pushes: Iterable[PushRow], tasks: Collection[str]) -> dict[str, str]:
    """The arguments, without results of other steps, of those pushes that run one of these tasks; by their ids."""
    found = {}
    for push in pushes:
        for row in tx.all("pushed_step", run_id=push.run_id, step=push.step, attempt=push.number):
            [claimed] = sent_rows([row])
            if claimed.task in tasks:
                found[push.id] = claimed.args
    return found


def _out_of_memory(tx: Transaction, job: Job) -> int:
    """How many earlier attempts of the step ran out of memory."""
    rows = tx.all("errors_of_step", run_id=job.run_id, step=job.step)
    errors = [error_of(error) for (error,) in rows]
    return sum(error is not None and error.type == OUT_OF_MEMORY for error in errors)


def unclean_pushes(tx: Transaction, executor: str, before: datetime, *, limit: int = AT_ONCE) -> list[PushRow]:
    """Pushes that were closed before a time, and may have left something outside."""
    return push_rows(tx, tx.all("unclean_pushes", executor=executor, before=before, limit=limit))


def note_clean(act: Act, executor: str, pushes: Iterable[PushRow]) -> None:
    """Nothing of them is left outside. Rows of runs that were deleted go now."""
    for push in pushes:
        act.tx.all("clean_push", id=push.id, now=act.now)
    act.tx.all("prune_pushes", executor=executor)


def is_stray(
    tx: Transaction, executor: str, push_id: str, external_id: str, now: datetime, *, place: int | None = None
) -> bool:  # fmt: skip
    """Whether a job that carries the name of this push is one too many. One of another database never is.

    With `place`, the name is that of a batch. A process that has reported by itself gets a while to end. While a
    process runs the attempt, it is not known which of two jobs that is, and the other one ends by itself.
    """
    if place is not None:
        rows = tx.all("push_of_place", batch=push_id, place=place)
        if not rows:
            return False
        push_id = str(rows[0][0])
    for state, followed, closed_at, holder in tx.all("push_of_id", id=push_id, executor=executor):
        closed = tx.datetime(closed_at)
        if closed is not None:
            return holder is None or now >= closed + timedelta(seconds=EXIT_SECONDS)
        return bool(state == "accepted" and followed != external_id and holder is None)
    return False


def push_of(tx: Transaction, attempt: Attempt) -> tuple[PushRow, str] | None:
    """The push of an attempt, and its state; None if it was not pushed."""
    run_id, step, number = attempt
    for *push, state in tx.all("push_of_attempt", run_id=run_id, step=step, attempt=number):
        return push_rows(tx, [tuple(push)])[0], str(state)
    return None


def _held(tx: Transaction, executor: str, limit: int) -> Sequence[Row]:
    return tx.all("held_pushes", executor=executor, limit=limit)


def push_rows(tx: Transaction, rows: Iterable[Row]) -> list[PushRow]:
    """Rows that begin with `push_columns`."""
    read = tx.datetime
    return [
        PushRow(
            str(id_), str(run_id), step, number, external_id, tries, phase, reason, host, cancels, read(gone_at),
            read(tried_at), holder, read(beat_until), None if batch is None else str(batch), place,
        )
        for (id_, run_id, step, number, external_id, tries, phase, reason, host, cancels, gone_at, tried_at, holder,
             beat_until, batch, place) in rows
    ]  # fmt: skip


def _text(text: str | None) -> str | None:
    return None if text is None else storable(text, limit=500)
