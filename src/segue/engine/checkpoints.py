"""Checkpoints: what a running task records inside its step, so that the next attempt goes on from there.

    checkpoint   the result of a function
    sleep        until when the task sleeps
    wait         the message for which the task waits, and then its value

An attempt writes its records itself, each in a transaction of its own, in the order of its calls. When a task begins to
sleep or to wait, its attempt ends as *suspended*: the step becomes ready with the gate "timer", which opens when the
sleep is over, when the wait gives up, or when the message is sent. Then another attempt runs the task from its
beginning, with the recorded values.

Promises: only the current attempt of a step can record; a record is never changed, but a wait ends once; a message is
taken by one step, under the lock of its run, so that no task waits while a message for it exists.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import msgspec

from segue.engine.act import Act
from segue.engine.locking import lock_run
from segue.engine.payload_uses import uses_of, write_uses
from segue.engine.stored import known_moment, moment_of
from segue.model import Attempt
from segue.plan.frames import OPENING
from segue.store.protocol import Later, Row, Store, Transaction

_encode = msgspec.json.Encoder().encode

MOST_CHECKPOINTS = 10_000
"""So many records a step may have: each attempt reads them all."""

NO_END = datetime(9999, 1, 1, tzinfo=UTC)
"""The timer of a task that waits for a message without a timeout; the statement `next_timer` knows it."""

_PAGE = 1000


class Kind(StrEnum):
    """The kinds of records."""

    CHECKPOINT = "checkpoint"
    SLEEP = "sleep"
    WAIT = "wait"


class Checkpoint(NamedTuple):
    """One record. `value` is JSON; None of a wait that has ended: no message came in its time."""

    ordinal: int
    kind: str
    name: str
    fingerprint: str
    attempt: int
    value: str | None
    started_at: datetime
    due_at: datetime | None
    finished_at: datetime | None

    def is_open(self, now: datetime) -> bool:
        """Whether the task still sleeps or waits."""
        if self.kind == Kind.SLEEP:
            return self.due_at is not None and self.due_at > now
        return self.finished_at is None


class Call(NamedTuple):
    """A call of a task that is to be recorded: the attempt, and which record this is."""

    attempt: Attempt
    ordinal: int
    kind: Kind
    name: str
    fingerprint: str

    @property
    def place(self) -> dict[str, str | int]:
        """The parameters of statements that name the record and its attempt."""
        run_id, step, attempt = self.attempt
        return {"run_id": run_id, "step": step, "attempt": attempt, "ordinal": self.ordinal}


class NotCurrentError(Exception):
    """The attempt is not the current one of its step any more: it can record nothing."""


# What an attempt records ----------------------------------------------------------------------------------------------


def checkpoints_of(tx: Transaction, run_id: str, step: int) -> list[Checkpoint]:
    """All records of a step, in order."""
    found: list[Checkpoint] = []
    while True:
        rows = tx.all("checkpoints_of", run_id=run_id, step=step, after=len(found) - 1, limit=_PAGE)
        found += [_checkpoint(tx, row) for row in rows]
        if len(rows) < _PAGE:
            return found


def record_value(store: Store, call: Call, value: str) -> Checkpoint:
    """Record the result of a function, and commit: one exchange with a server. Raises NotCurrentError."""
    now = store.now()
    with store.transaction() as tx:
        put = put_value(tx, call, value, now)
    return written(put, call, value, now)


def put_value(tx: Transaction, call: Call, value: str, now: datetime) -> Later:
    """Send the record of a result; `written` says what came of it, also after the commit."""
    if value.startswith(OPENING):  # the value lies in a payload store
        run_id = call.attempt[0]
        lock_run(tx, run_id)
        write_uses(tx, uses_of(run_id, [value], tx.time(now)))
    return _put(tx, call, now, value=value, finished_at=now)


def written(put: Later, call: Call, value: str, now: datetime) -> Checkpoint:
    """The record that was sent. Raises NotCurrentError if it was refused."""
    if not put.rows():
        raise NotCurrentError
    return _made(call, now, value=value, finished_at=now)


def begin_sleep(store: Store, call: Call, *, seconds: float | None = None, until: datetime | None = None) -> Checkpoint:
    """Record until when the task sleeps. Raises NotCurrentError, and OverflowError for a time beyond the year 9999."""
    now = store.now()
    due_at = now + timedelta(seconds=seconds or 0.0) if until is None else until
    with store.transaction() as tx:
        put = _put(tx, call, now, due_at=due_at)
    if not put.rows():
        raise NotCurrentError
    return _made(call, now, due_at=due_at)


def begin_wait(store: Store, call: Call, *, timeout: float | None) -> Checkpoint:
    """Take the first message of this name, or record that the task waits for one. Raises NotCurrentError."""
    run_id, step, _ = call.attempt
    with store.transaction() as tx:
        now = store.now()
        lock_run(tx, run_id)
        found = tx.all("next_messages", run_id=run_id, name=call.name, limit=1)
        due_at = None if timeout is None else now + timedelta(seconds=timeout)
        value, finished_at = (found[0][1], now) if found else (None, None)
        if not _put(tx, call, now, value=value, due_at=due_at, finished_at=finished_at).rows():
            raise NotCurrentError
        if found:
            tx.all("take_message", run_id=run_id, position=found[0][0], step=step)
    return _made(call, now, value=value, due_at=due_at, finished_at=finished_at)


def look_at_wait(store: Store, call: Call, *, default: str | None) -> Checkpoint:
    """The record of a wait, which ends now if a message is there or its time is over. Raises NotCurrentError.

    Its value is then the message, or `default`; None if there is neither.
    """
    run_id, step, _ = call.attempt
    with store.transaction() as tx:
        now = store.now()
        lock_run(tx, run_id)
        [row] = tx.all("checkpoints_of", run_id=run_id, step=step, after=call.ordinal - 1, limit=1)
        record = _checkpoint(tx, row)
        if not record.is_open(now):
            return record
        messages = tx.all("next_messages", run_id=run_id, name=call.name, limit=1)  # of an older version of Segue
        if not messages and (record.due_at is None or record.due_at > now):
            return record
        value = messages[0][1] if messages else default
        if not tx.all("end_checkpoint", value=value, now=now, **call.place):
            raise NotCurrentError
        if messages:
            tx.all("take_message", run_id=run_id, position=messages[0][0], step=step)
    return record._replace(value=value, finished_at=now)


def _put(
    tx: Transaction, call: Call, now: datetime, *, value: str | None = None, due_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> Later:  # fmt: skip
    return tx.later(
        "put_checkpoint", kind=call.kind.value, name=call.name, fingerprint=call.fingerprint, value=value, now=now,
        due_at=due_at, finished_at=finished_at, **call.place,
    )  # fmt: skip


def _made(
    call: Call, now: datetime, *, value: str | None = None, due_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> Checkpoint:  # fmt: skip
    attempt = call.attempt[2]
    return Checkpoint(
        call.ordinal, call.kind.value, call.name, call.fingerprint, attempt, value, now, due_at, finished_at
    )


def _checkpoint(tx: Transaction, row: Row) -> Checkpoint:
    ordinal, kind, name, fingerprint, attempt, value, *moments = row
    started_at, due_at, finished_at = moments
    return Checkpoint(
        ordinal, kind, name, fingerprint, attempt, value, known_moment(tx, started_at), moment_of(tx, due_at),
        moment_of(tx, finished_at),
    )  # fmt: skip


# What others do -------------------------------------------------------------------------------------------------------


def suspend(act: Act, attempt: Attempt) -> bool:
    """Let the step of an attempt that has ended so wait for what its last record says. The caller holds its run.

    Returns whether it may start at once: the message came meanwhile, or the time is over.
    """
    run_id, step, number = attempt
    rows = act.tx.all("last_checkpoint", run_id=run_id, step=step)
    last = _checkpoint(act.tx, rows[0]) if rows else None
    ready_at, event = act.now, None
    if last is not None and last.is_open(act.now):
        ready_at = max(NO_END if last.due_at is None else last.due_at, act.now)
        event = last.name if last.kind == Kind.WAIT else None
    is_ready = ready_at <= act.now
    act.tx.later(
        "suspend_step", run_id=run_id, step=step, attempt=number, gate=None if is_ready else "timer",
        ready_at=ready_at, event=event,
    )  # fmt: skip
    if act.journal is not None:
        detail = {"until": None if ready_at == NO_END else ready_at, "waits_for": event}
        act.journal.note("step.suspended", run_id, step, number, detail=_encode(detail).decode())
    return is_ready


class Waiting(NamedTuple):
    """A step whose task waits for a message."""

    step: int
    ordinal: int
    step_name: str
    since: datetime


def waiting_for(tx: Transaction, run_id: str, name: str) -> Waiting | None:
    """The step that has waited longest for this message inside its task. The caller holds the lock of the run."""
    for step, ordinal, step_name, since in tx.all("checkpoint_waiting", run_id=run_id, name=name):
        return Waiting(step, ordinal, step_name, known_moment(tx, since))
    return None


def give_message(act: Act, run_id: str, waiting: Waiting, value: str) -> None:
    """Let the wait of a task end with this value, and its step start again."""
    place = {"run_id": run_id, "step": waiting.step}
    act.tx.later("give_message", ordinal=waiting.ordinal, value=value, now=act.now, **place)
    act.tx.later("wake_suspended", now=act.now, **place)


def forget_checkpoints(act: Act, run_id: str, steps: Iterable[int]) -> None:
    """Let these steps run from scratch: delete what their tasks recorded."""
    numbers = sorted(steps)
    if numbers:
        act.tx.later("discard_checkpoints", run_id=run_id, steps=numbers)
