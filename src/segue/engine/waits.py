"""Steps that wait for something other than a worker: a message that is sent to their run, or the end of a sleep.

A `wait_for` whose parents allow it becomes ready with the gate "event", which no claim sees: it costs a row, and
nobody looks at it until its message comes or its time is over. A `sleep` becomes ready with the gate "timer"; when that
opens any worker claims it, and its task returns at once.

Promises: a message is taken by one step, and a step takes one message; what was sent first is taken first, by the step
that has waited for the longest; what nobody waits for yet is kept; the same key twice is one message. All of it happens
under the run's lock, so at no moment does a step wait for a message that lies there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from segue.engine.happenings import begin_runs
from segue.engine.resolve import filled, hook_value, is_true, load
from segue.engine.rows import decode_policy, due_at
from segue.errors import SerializationError
from segue.model import MESSAGE_NAME_LENGTH, RUN, SLEEP, ErrorInfo, Gate, StepStatus, is_message_name
from segue.plan.codec import NULL, decode_expr, decode_holes, evaluate, steps_in
from segue.store.protocol import Finish, Row, Store, Transaction

WAIT_ALARM = "wait"
_MOST_SECONDS = 1e10
_encode = msgspec.json.Encoder().encode


class WaitRow(NamedTuple):
    """A step that waits or is to begin to, as `wait_rows` tells it."""

    step: int
    attempt: int
    status: str
    name: str
    task: str
    args: str
    holes: str | None
    when_expr: str | None
    policy: str | None
    delay: float | None
    ready_at: Any
    hook: str | None
    may_fail: bool
    fail_fast: bool

    @property
    def fails_the_run(self) -> bool:
        """Whether its failure ends its run at once."""
        return bool(self.fail_fast) and self.hook is None and not self.may_fail


class Failing(NamedTuple):
    """A step whose failure ends its run at once, once that failure is written."""

    run_id: str
    name: str
    error: ErrorInfo


class Begun(NamedTuple):
    """What is to be done for waits that are over as soon as they begin."""

    finishes: list[Finish]
    failing: list[Failing]

    def fail(self, run_id: str, row: WaitRow, error: ErrorInfo) -> None:
        """Let the step fail from the status that it has."""
        text = _encode(error).decode()
        self.finishes.append(Finish(run_id, row.step, row.attempt, row.status, StepStatus.FAILED, None, text))
        if row.fails_the_run:
            self.failing.append(Failing(run_id, row.name, error))


class Event(NamedTuple):
    """What a `wait_for` waits for: its name, how long, and the JSON that stands in for it after that."""

    name: str
    timeout: float | None
    default: str | None


def begin_waits(store: Store, tx: Transaction, steps: Iterable[tuple[str, int]], now: datetime) -> Begun:
    """Let steps whose parents allow them begin to wait. The caller holds the locks of their runs.

    Returns what is to be finished: those whose message is there already, whose time is over, whose `when` is false, or
    whose arguments make no sense.
    """
    begun = Begun([], [])
    by_run: dict[str, list[int]] = {}
    for run_id, step in steps:
        by_run.setdefault(run_id, []).append(step)
    for run_id, numbers in sorted(by_run.items()):
        rows = [row for row in wait_rows(tx, run_id, numbers) if row.status == StepStatus.BLOCKED]
        _Beginning(store, tx, run_id, now, begun).begin(rows)
    return begun


def received(run_id: str, step: int, attempt: int, value: str) -> Finish:
    """The end of a step whose message came."""
    return Finish(run_id, step, attempt, StepStatus.READY, StepStatus.SUCCEEDED, value)


def wait_rows(tx: Transaction, run_id: str, steps: Sequence[int]) -> list[WaitRow]:
    """What is to be known of steps that wait."""
    return [WaitRow(*row) for row in tx.all("wait_rows", run_id=run_id, steps=sorted(steps))]


def event_of(tx: Transaction, run_id: str, row: WaitRow, values: dict[int, str] | None = None) -> Event:
    """What a step waits for, its arguments resolved; raises SerializationError when they make no sense."""
    args, named = filled(row.args, row.holes, _values(tx, run_id, row, values))
    name = args[0] if args else named.get("name")
    if not isinstance(name, str) or not is_message_name(name):
        raise SerializationError(
            f"wait_for was given the name {_shown(name)}; give a text of 1 to {MESSAGE_NAME_LENGTH} characters"
        )
    timeout = named.get("timeout")
    seconds = decode_policy(row.policy).timeout if timeout is None else _seconds("wait_for", "timeout", timeout)
    return Event(name, seconds, _encode(named["default"]).decode() if "default" in named else None)


class _Beginning:
    """The waits of one run that begin now."""

    def __init__(self, store: Store, tx: Transaction, run_id: str, now: datetime, begun: Begun) -> None:
        self._store = store
        self._tx = tx
        self._run_id = run_id
        self._now = now
        self._begun = begun
        self._begins: list[Row] = []
        self._waiting: dict[str, list[tuple[WaitRow, float | None]]] = {}

    def begin(self, rows: Sequence[WaitRow]) -> None:
        known = load(self._tx, self._run_id, {step for row in rows for step in _steps_needed(row)} - {RUN})
        for row in rows:
            try:
                self._begin_one(row, known)
            except SerializationError as error:
                self._begun.fail(self._run_id, row, ErrorInfo("SerializationError", str(error)))
        if self._begins:
            self._tx.each("begin_waits", self._begins)
            begin_runs(self._tx, [self._run_id], self._now)
        if self._waiting:
            self._take_messages()
            self._set_alarms()

    def _begin_one(self, row: WaitRow, known: dict[int, str]) -> None:
        if row.when_expr is not None:
            when = decode_expr(row.when_expr)
            if not is_true(evaluate(when, _values(self._tx, self._run_id, row, known))):
                self._finish(row, StepStatus.SKIPPED)
                return
        if row.task == SLEEP:
            self._sleep(row, self._wakes_at(row, known))
            return
        event = event_of(self._tx, self._run_id, row, known)
        self._ready(row, Gate.EVENT, self._now, event.name)
        self._waiting.setdefault(event.name, []).append((row, event.timeout))

    def _sleep(self, row: WaitRow, due: datetime) -> None:
        if due <= self._now:
            self._finish(row, StepStatus.SUCCEEDED, NULL)
        else:
            self._ready(row, Gate.TIMER, due, None)

    def _wakes_at(self, row: WaitRow, known: dict[int, str]) -> datetime:
        args, named = filled(row.args, row.holes, _values(self._tx, self._run_id, row, known))
        begins = due_at(self._now, row.delay, self._store.datetime(row.ready_at))
        if named.get("until") is not None:
            return max(begins, _moment(named["until"]))
        return begins + timedelta(seconds=_seconds("sleep", "seconds", args[0] if args else named.get("seconds")))

    def _ready(self, row: WaitRow, gate: Gate, ready_at: datetime, event: str | None) -> None:
        now = self._store.time(self._now)
        self._begins.append((self._run_id, row.step, gate.value, self._store.time(ready_at), event, now))

    def _finish(self, row: WaitRow, status: StepStatus, result: str | None = None) -> None:
        finish = Finish(self._run_id, row.step, row.attempt, StepStatus.BLOCKED, status, result)
        self._begun.finishes.append(finish)

    def _take_messages(self) -> None:
        """Give what was sent before to those that begin to wait for it, first to the first."""
        sent = {row[0] for row in self._tx.all("names_waiting", run_id=self._run_id)}
        for name in sorted(sent & self._waiting.keys()):
            takers = self._waiting[name]
            found = self._tx.all("next_messages", run_id=self._run_id, name=name, limit=len(takers))
            for (row, _), (position, value) in zip(takers, found, strict=False):
                self._tx.later("take_message", run_id=self._run_id, position=position, step=row.step)
                self._begun.finishes.append(received(self._run_id, row.step, row.attempt, value))
            self._waiting[name] = takers[len(found) :]

    def _set_alarms(self) -> None:
        alarms = [
            (self._run_id, row.step, WAIT_ALARM, self._store.time(self._now + timedelta(seconds=timeout)), timeout)
            for takers in self._waiting.values() for row, timeout in takers if timeout is not None
        ]  # fmt: skip
        if alarms:
            self._tx.each("put_alarms", alarms)


# Arguments ------------------------------------------------------------------------------------------------------------


def _steps_needed(row: WaitRow) -> set[int]:
    steps = {step for hole in decode_holes(row.holes) for step in steps_in(hole.what)}
    return steps if row.when_expr is None else steps | set(steps_in(decode_expr(row.when_expr)))


def _values(tx: Transaction, run_id: str, row: WaitRow, known: dict[int, str] | None) -> dict[int, str]:
    """The results that the step's arguments and condition refer to."""
    steps = _steps_needed(row)
    values = load(tx, run_id, steps - {RUN}) if known is None else known
    return values if RUN not in steps else {**values, RUN: hook_value(tx, run_id, row.step)}


def _seconds(of: str, key: str, value: object) -> float:
    if isinstance(value, str):  # as a result that is a timedelta is written
        value = _converted(value, timedelta)
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < _MOST_SECONDS:
        raise SerializationError(f"{of} was given {key} {_shown(value)}; give seconds, 0 or more, or a timedelta")
    return float(seconds)


def _moment(value: object) -> datetime:
    moment = _converted(value, datetime) if isinstance(value, str) else None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise SerializationError(f"sleep was given until {_shown(value)}; give a datetime that has a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # what is beyond could be written down, and not be read
        raise SerializationError(f"sleep was given until {_shown(value)}, which is out of range in UTC") from None


def _converted(value: str, kind: type) -> object:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError):
        return None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
