"""Steps that wait for something other than a worker: a message that is sent to their run, or the end of a sleep.

A `wait_for` whose parents allow it becomes ready with the gate "event", which hides it from claims: it costs a row, and
no work until its message comes or its time is over. A `sleep` becomes ready with the gate "timer"; when that opens any
worker claims it, and its task returns immediately.

Promises: a message is taken by one step, and a step takes one message; the earliest message is taken first, by the step
that has waited longest; a message for which no step waits yet is kept; the same key twice is one message. All of this
happens under the run's lock, so a step never waits while a message for it exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from segue.engine.act import Act
from segue.engine.at_hand import with_payloads
from segue.engine.notes import begin_runs
from segue.engine.resolve import Values, filled, hook_value, is_true, load, value_of
from segue.engine.rows import decode_policy, due_at
from segue.engine.stored import moment_of
from segue.errors import SerializationError
from segue.given import shown
from segue.model import MESSAGE_NAME_LENGTH, RUN, SLEEP, ErrorInfo, Gate, StepStatus, is_message_name
from segue.plan.codec import NULL, decode_expr, decode_holes, steps_in
from segue.store.protocol import Finish, Row, Transaction

WAIT_ALARM = "wait"
_MOST_SECONDS = 1e10
_encode = msgspec.json.Encoder().encode


class WaitRow(NamedTuple):
    """A step that waits or is about to, as the statement `wait_rows` returns it."""

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
        """Whether its failure ends its run immediately."""
        return bool(self.fail_fast) and self.hook is None and not self.may_fail


class Failing(NamedTuple):
    """A step whose failure ends its run immediately, once that failure is written."""

    run_id: str
    name: str
    error: ErrorInfo


class Begun(NamedTuple):
    """The consequences of waits that are over as soon as they begin."""

    finishes: list[Finish]
    failing: list[Failing]

    def fail(self, run_id: str, row: WaitRow, error: ErrorInfo) -> None:
        """Let the step fail from its current status."""
        text = _encode(error).decode()
        self.finishes.append(Finish(run_id, row.step, row.attempt, row.status, StepStatus.FAILED, None, text))
        if row.fails_the_run:
            self.failing.append(Failing(run_id, row.name, error))


class Event(NamedTuple):
    """The arguments of a `wait_for`: the name, how long it waits, and the JSON that is its result after that."""

    name: str
    timeout: float | None
    default: str | None


def begin_waits(act: Act, steps: Iterable[tuple[str, int]]) -> Begun:
    """Let steps whose parents allow them begin to wait. The caller holds the locks of their runs.

    Returns the steps to finish: those whose message exists already, whose time is over, whose `when` is false, or whose
    arguments are invalid.
    """
    begun = Begun([], [])
    by_run: dict[str, list[int]] = {}
    for run_id, step in steps:
        by_run.setdefault(run_id, []).append(step)
    for run_id, numbers in sorted(by_run.items()):
        rows = [row for row in wait_rows(act.tx, run_id, numbers) if row.status == StepStatus.BLOCKED]
        _Beginning(act, run_id, begun).begin(rows)
    return begun


def received(run_id: str, step: int, attempt: int, value: str) -> Finish:
    """The end of a step whose message came."""
    return Finish(run_id, step, attempt, StepStatus.READY, StepStatus.SUCCEEDED, value)


def wait_rows(tx: Transaction, run_id: str, steps: Sequence[int]) -> list[WaitRow]:
    """The rows of steps that wait."""
    return [WaitRow(*row) for row in tx.all("wait_rows", run_id=run_id, steps=sorted(steps))]


def event_of(tx: Transaction, run_id: str, row: WaitRow, values: Values | None = None) -> Event:
    """The arguments of a `wait_for`, resolved. Raises SerializationError for invalid ones."""
    args, named = filled(row.args, row.holes, _values(tx, run_id, row, values))
    name = args[0] if args else named.get("name")
    if not isinstance(name, str) or not is_message_name(name):
        raise SerializationError(
            f"wait_for was given the name {shown(name)}; give a text of 1 to {MESSAGE_NAME_LENGTH} characters"
        )
    timeout = named.get("timeout")
    seconds = decode_policy(row.policy).timeout if timeout is None else _seconds("wait_for", "timeout", timeout)
    return Event(name, seconds, _encode(named["default"]).decode() if "default" in named else None)


class _Beginning:
    """The waits of one run that begin now."""

    def __init__(self, act: Act, run_id: str, begun: Begun) -> None:
        self._act = act
        self._run_id = run_id
        self._begun = begun
        self._begins: list[Row] = []
        self._waiting: dict[str, list[tuple[WaitRow, float | None]]] = {}

    def begin(self, rows: Sequence[WaitRow]) -> None:
        needed: set[int] = set()
        sound: list[WaitRow] = []
        for row in rows:
            try:
                needed |= _steps_needed(row)
                sound.append(row)
            except SerializationError as error:
                self._fail(row, error)
        known = load(self._act.tx, self._run_id, needed - {RUN})
        for row in sound:
            try:
                self._begin_one(row, known)
            except SerializationError as error:  # the fault of this step, not of the one that ended just now
                self._fail(row, error)
        if self._begins:
            self._act.tx.each("begin_waits", self._begins)
            begin_runs(self._act, [self._run_id])
        if self._waiting:
            self._take_messages()
            self._set_alarms()

    def _fail(self, row: WaitRow, error: SerializationError) -> None:
        self._begun.fail(self._run_id, row, ErrorInfo(type(error).__name__, str(error)))

    def _begin_one(self, row: WaitRow, known: Values) -> None:
        if row.when_expr is not None:
            when = decode_expr(row.when_expr)
            if not is_true(value_of(when, _values(self._act.tx, self._run_id, row, known))):
                self._finish(row, StepStatus.SKIPPED)
                return
        if row.task == SLEEP:
            self._sleep(row, self._wakes_at(row, known))
            return
        event = event_of(self._act.tx, self._run_id, row, known)
        self._ready(row, Gate.EVENT, self._act.now, event.name)
        self._waiting.setdefault(event.name, []).append((row, event.timeout))

    def _sleep(self, row: WaitRow, due: datetime) -> None:
        if due <= self._act.now:
            self._finish(row, StepStatus.SUCCEEDED, NULL)
        else:
            self._ready(row, Gate.TIMER, due, None)

    def _wakes_at(self, row: WaitRow, known: Values) -> datetime:
        args, named = filled(row.args, row.holes, _values(self._act.tx, self._run_id, row, known))
        begins = due_at(self._act.now, row.delay, moment_of(self._act.tx, row.ready_at))
        if named.get("until") is not None:
            return max(begins, _moment(named["until"]))
        seconds = _seconds("sleep", "seconds", args[0] if args else named.get("seconds"))
        try:
            return begins + timedelta(seconds=seconds)
        except OverflowError:
            raise SerializationError(f"sleep was given {seconds:g} seconds, which is beyond the year 9999") from None

    def _ready(self, row: WaitRow, gate: Gate, ready_at: datetime, event: str | None) -> None:
        now = self._act.tx.time(self._act.now)
        self._begins.append((self._run_id, row.step, gate.value, self._act.tx.time(ready_at), event, now))

    def _finish(self, row: WaitRow, status: StepStatus, result: str | None = None) -> None:
        finish = Finish(self._run_id, row.step, row.attempt, StepStatus.BLOCKED, status, result)
        self._begun.finishes.append(finish)

    def _take_messages(self) -> None:
        """Give earlier messages to the steps that begin to wait for them, the first message to the first step."""
        sent = {row[0] for row in self._act.tx.all("names_waiting", run_id=self._run_id)}
        for name in sorted(sent & self._waiting.keys()):
            takers = self._waiting[name]
            found = self._act.tx.all("next_messages", run_id=self._run_id, name=name, limit=len(takers))
            for (row, _), (position, value) in zip(takers, found, strict=False):
                self._act.tx.later("take_message", run_id=self._run_id, position=position, step=row.step)
                self._begun.finishes.append(received(self._run_id, row.step, row.attempt, value))
            self._waiting[name] = takers[len(found) :]

    def _set_alarms(self) -> None:
        alarms = [
            (self._run_id, row.step, WAIT_ALARM, self._act.tx.time(self._act.now + timedelta(seconds=timeout)), timeout)
            for takers in self._waiting.values() for row, timeout in takers if timeout is not None
        ]  # fmt: skip
        if alarms:
            self._act.tx.each("put_alarms", alarms)


# Arguments ------------------------------------------------------------------------------------------------------------


def _steps_needed(row: WaitRow) -> set[int]:
    steps = {step for hole in decode_holes(row.holes) for step in steps_in(hole.what)}
    return steps if row.when_expr is None else steps | set(steps_in(decode_expr(row.when_expr)))


def _values(tx: Transaction, run_id: str, row: WaitRow, known: Values | None) -> dict[int, str]:
    """The results to which the step's arguments and condition refer."""
    steps = _steps_needed(row)
    values = (load(tx, run_id, steps - {RUN}) if known is None else known).of(steps - {RUN})
    return with_payloads(values if RUN not in steps else {**values, RUN: hook_value(tx, run_id, row.step)})


def _seconds(of: str, key: str, value: object) -> float:
    if isinstance(value, str):  # a result that was a timedelta
        value = _converted(value, timedelta)
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < _MOST_SECONDS:
        raise SerializationError(f"{of} was given {key} {shown(value)}; give seconds, 0 or more, or a timedelta")
    return float(seconds)


def _moment(value: object) -> datetime:
    moment = _converted(value, datetime) if isinstance(value, str) else None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise SerializationError(f"sleep was given until {shown(value)}; give a datetime that has a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # a time beyond the range could be written, but not read
        raise SerializationError(f"sleep was given until {shown(value)}, which is out of range in UTC") from None


def _converted(value: str, kind: type) -> object:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError):
        return None
