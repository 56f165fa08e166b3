"""The journal of one attempt: what its task records inside the step, and what earlier attempts recorded.

A task runs from its beginning in every attempt. Each call of `checkpoint`, `sleep` and `wait_for` is compared with the
record of the same number: if there is one, the call takes its value; the first call without one continues the journal.
So loops and branches in plain Python go on where an attempt was lost, as long as they decide by recorded values only.

Promises: a call that differs from its record raises CheckpointError, and changes nothing; a result is recorded before
the task sees it; after the attempt was given to another worker, or suspended, no further function is called. The
records are written by the process that runs the task, on a connection of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from inspect import iscoroutinefunction
from time import monotonic, sleep  # by name: a task may replace them
from typing import Any, NoReturn, TypeVar

from segue.attempt.calls import called_meanwhile, called_twice, check_number, check_order, check_same, no_awaitable
from segue.attempt.recorded import Recorded, fingerprint_of
from segue.authoring.context import Cancelled, Suspended, running
from segue.engine.checkpoints import (
    Call,
    Checkpoint,
    Kind,
    NotCurrentError,
    begin_sleep,
    begin_wait,
    checkpoints_of,
    look_at_wait,
    put_value,
    record_value,
    written,
)
from segue.engine.transactional import TaskTransactions
from segue.errors import PASSING_ERRORS, CheckpointError, DefinitionError, RunNotFoundError, WaitTimeoutError
from segue.model import Attempt
from segue.store.protocol import Store

PATIENCE_SECONDS = 600.0
"""So long a record is tried again while the database is away: no work is given up for that, and no try."""

T = TypeVar("T")
FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0


class AttemptJournal:
    """The journal of the running attempt, for `Context.journal`. It reads nothing until it is used."""

    __slots__ = (
        "_attempt",
        "_is_over",
        "_is_to_end",
        "_item",
        "_lock",
        "_names",
        "_next",
        "_pid",
        "_problem",
        "_records",
        "_refusal",
        "_transactions",
        "_unrecorded",
        "_values",
        "is_suspended",
    )

    def __init__(
        self, attempt: Attempt, transactions: TaskTransactions | None, values: Recorded, *,
        is_to_end: Callable[[], bool], refusal: str | None = None,
    ) -> None:  # fmt: skip
        self._attempt = attempt
        self._transactions = transactions
        self._values = values
        self._is_to_end = is_to_end
        self._refusal = refusal
        self._pid = os.getpid()
        self._lock = threading.Lock()  # held during a call
        self._records: list[Checkpoint] | None = None
        self._names: set[str] = set()
        self._next = 0
        self._item = ""  # before the names of checkpoints, in a batch
        self._unrecorded: Call | None = None  # what began without a record; after the call, it has raised
        self._problem: CheckpointError | None = None
        self._is_over = False  # the attempt is not the current one of its step any more
        self.is_suspended = False

    # The calls of a task ----------------------------------------------------------------------------------------------

    def checkpoint(
        self, name: str, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, transactional: bool
    ) -> Any:
        """The recorded result of the function; it is called only if there is none."""
        what, name = f"checkpoint({name!r})", f"{self._item}{name}"
        if iscoroutinefunction(fn):
            return self._checkpoint_async(what, name, fn, args, kwargs)
        with self._calling(what):
            call, known = self._begin(Kind.CHECKPOINT, what, name, args, kwargs)
            if known is not None:
                return self._values.read(known.value, fn)
            if transactional:
                return self._call_in_transaction(what, call, fn, args, kwargs)
            value = fn(*args, **kwargs)
            text, value = self._values.written(what, fn, no_awaitable(what, value))
            self._add(self._write(call, lambda store: record_value(store, call, text)))
        return value

    async def _checkpoint_async(
        self, what: str, name: str, fn: Callable[..., Awaitable[Any]], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """The same for an `async def` function: the event loop goes on while the database is asked."""
        with self._calling(what):
            call, known = await asyncio.to_thread(self._begin, Kind.CHECKPOINT, what, name, args, kwargs)
            if known is not None:
                return await asyncio.to_thread(self._values.read, known.value, fn)
            value = await fn(*args, **kwargs)
            text, value = await asyncio.to_thread(self._values.written, what, fn, value)
            self._add(await asyncio.to_thread(self._write, call, lambda store: record_value(store, call, text)))
        return value

    def sleep(self, *, seconds: float | None, until: datetime | None) -> None:
        """Return if this time is over; else raise Suspended."""
        with self._calling("sleep()"):
            call, known = self._begin(Kind.SLEEP, "sleep()", "")
            if known is None:
                known = self._write(call, lambda store: begin_sleep(store, call, seconds=seconds, until=until))
                self._add(known)
            if known.is_open(self._reach(lambda store: store.now())):
                self._suspend()

    def wait_for(self, name: str, *, timeout: float | None, default: str | None) -> Any:
        """The value of the message; raises Suspended if it has not come, and WaitTimeoutError if it came too late."""
        with self._calling(f"wait_for({name!r})"):
            call, known = self._begin(Kind.WAIT, f"wait_for({name!r})", name)
            if known is None:
                known = self._write(call, lambda store: begin_wait(store, call, timeout=timeout))
                self._add(known)
            elif known.finished_at is None:
                known = self._write(call, lambda store: look_at_wait(store, call, default=default))
            if known.finished_at is None:
                self._suspend()
            if known.value is None:
                raise WaitTimeoutError(f"{name!r} was not sent in the time that wait_for was given")
            return self._values.read(known.value, None)

    def begin_item(self, number: int) -> None:
        """From now on the calls are of this item of a batch, so names of earlier items may be used again."""
        self._item = f"{number}: "

    def bulk(self, order: dict[str, Any]) -> dict[str, Any]:
        """Apply a verb to many runs."""
        from segue.attempt.bulk import carry_out  # noqa: PLC0415 - few processes ever need it

        if self._refusal is not None:
            raise DefinitionError(f"segue.bulk was called {self._refusal}")
        context = running()
        assert context is not None  # the journal is that of the running step
        return carry_out(self._store, context, order)

    def _call_in_transaction(
        self, what: str, call: Call, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        transactions = self._transactions
        assert transactions is not None  # else there is a refusal
        transaction = self._reach(lambda _: transactions.begin(self._attempt))
        try:
            value = fn(transaction.connection, *args, **kwargs)
            text, value = self._values.written(what, fn, no_awaitable(what, value))
            if self._is_to_end():
                raise Cancelled
        except BaseException as exc:
            ended = transaction.undo(close=self._is_to_end())
            if ended is not None:
                raise ended from exc
            raise
        try:
            self._add(transaction.keep(lambda tx, now: written(put_value(tx, call, text, now), call, text, now)))
        except NotCurrentError:
            self._end()
        return value

    # Records ----------------------------------------------------------------------------------------------------------

    def _calling(self, what: str) -> _Calling:
        """The block of a call. Raises if the attempt is over, or another call has not ended."""
        if self.is_suspended:
            raise Suspended
        if self._is_to_end() or self._is_over:
            raise Cancelled
        if self._problem is not None:
            raise self._problem
        if self._refusal is not None:
            raise DefinitionError(f"{what} was called {self._refusal}")
        if os.getpid() != self._pid:
            raise CheckpointError(
                f"{what} was called in a process that the task has started; call it in the task itself"
            )
        if not self._lock.acquire(blocking=False):
            raise called_meanwhile(what)
        return _Calling(self)

    def end_call(self, error: BaseException | None) -> None:
        """A call has ended, with this error if it raised."""
        if isinstance(error, CheckpointError):
            self._problem = error  # a task that catches it must not go on with calls of another order
        self._lock.release()

    def _begin(
        self, kind: Kind, what: str, name: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> tuple[Call, Checkpoint | None]:
        """The call, and its record if there is one. Raises CheckpointError if it differs from the record."""
        if self._records is None:
            run_id, step, _ = self._attempt
            self._records = self._reach(lambda store: _load(store, run_id, step))
        if kind is Kind.CHECKPOINT and name in self._names:
            raise called_twice(what, name)
        call = Call(self._attempt, self._next, kind, name, fingerprint_of(kind, name, args, kwargs or {}))
        check_order(what, call, self._unrecorded)
        known = self._records[call.ordinal] if call.ordinal < len(self._records) else None
        if known is not None:
            check_same(what, call, known)
            self._pass(call)
        else:
            check_number(what, call)
            self._unrecorded = call
        return call, known

    def _add(self, record: Checkpoint) -> None:
        assert self._records is not None
        assert self._unrecorded is not None
        self._records.append(record)
        self._pass(self._unrecorded)
        self._unrecorded = None

    def _pass(self, call: Call) -> None:
        self._next += 1
        if call.kind is Kind.CHECKPOINT:
            self._names.add(call.name)

    def _suspend(self) -> NoReturn:
        self.is_suspended = True
        raise Suspended

    def _end(self) -> NoReturn:
        self._is_over = True
        raise Cancelled(f"attempt {self._attempt[2]} was taken from its worker, so nothing more of it is recorded")

    def _write(self, call: Call, do: Callable[[Store], Checkpoint]) -> Checkpoint:
        try:
            return self._reach(lambda store: _written_once(store, call, do))
        except (NotCurrentError, RunNotFoundError):
            self._end()

    def _reach(self, do: Callable[[Store], T]) -> T:
        """Do it, again and again while the database is away, until the patience is over."""
        until, pause = monotonic() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            try:
                return do(self._store)
            except PASSING_ERRORS:
                if self._is_to_end() or monotonic() + pause >= until:
                    raise
                sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    @property
    def _store(self) -> Store:
        assert self._transactions is not None  # else there is a refusal
        return self._transactions.store


class _Calling:
    """The block of a call."""

    __slots__ = ("_journal",)

    def __init__(self, journal: AttemptJournal) -> None:
        self._journal = journal

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        self._journal.end_call(error)


def _load(store: Store, run_id: str, step: int) -> list[Checkpoint]:
    with store.reading() as tx:
        return checkpoints_of(tx, run_id, step)


def _written_once(store: Store, call: Call, do: Callable[[Store], Checkpoint]) -> Checkpoint:
    """Do it; if this attempt had committed the record already, and only the answer was lost, that one."""
    try:
        return do(store)
    except NotCurrentError:
        run_id, step, attempt = call.attempt
        for record in _load(store, run_id, step)[call.ordinal : call.ordinal + 1]:
            if record.attempt == attempt and record.fingerprint == call.fingerprint:
                return record
        raise
