"""Schedules that this process cannot decide: they are set aside, so that the others continue.

Possible causes: another version wrote it, this machine lacks a time zone, the database refuses the run, or the workflow
does not return. The tick stays undecided, and this process tries again after a second, then after two, four ... and at
last every five minutes; after a change of the schedule it tries immediately. Other processes may decide it meanwhile.
If none has after some seconds, the problem is reported: once, until it is solved.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from segue.engine.act import Act
from segue.engine.audit import record_event
from segue.engine.backoff import longer_wait
from segue.engine.engine import Engine
from segue.engine.scope import OF_ALL
from segue.engine.stored import moment_of
from segue.errors import PASSING_ERRORS, StoreError
from segue.observing.harmless_log import get_logger
from segue.plan.namespaces import namespace_of
from segue.scheduler.error_text import reason_of, text_of
from segue.scheduler.rows import ScheduleColumns
from segue.scheduler.user_calls import Call, NoAnswerError
from segue.store.protocol import Transaction

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0
TOLD_AFTER_SECONDS = 6.0  # longer than processes other than the leader need to notice that a tick is late

T = TypeVar("T")
logger = get_logger("segue.chores")


class Work(StrEnum):
    """The work on a schedule that may be stuck. A queue may be stuck while further ticks join it."""

    TICKS = "ticks"
    QUEUE = "queue"


class _Case(msgspec.Struct):
    """A schedule that could not be decided."""

    seen: Any  # its `updated_at` then, as the database returns it: after a change it is another case
    since: datetime
    look_at: datetime
    seconds: float  # until the next try
    is_told: bool = False


class PendingCall(msgspec.Struct, Generic[T]):
    """A call that has not returned, and the purpose of its result."""

    of: Any  # the state of the schedule for which it was called
    what: T
    call: Call[Any]


class Found(NamedTuple):
    """A schedule whose turn it is. Only fields that cannot be damaged are read."""

    name: str
    seen: Any  # when it was changed last, as the database returns it
    due_at: datetime | None

    @classmethod
    def of(cls, tx: Transaction, row: ScheduleColumns) -> Found:
        """The fields of a row that are needed to deal with it, or to set it aside."""
        return cls(str(row.name), row.updated_at, moment_of(tx, row.due_at))


class Stuck:
    """The schedules of a database that this process cannot decide."""

    def __init__(self) -> None:
        self._cases: dict[str, _Case] = {}
        self.asked: dict[str, PendingCall[Any]] = {}  # by the schedule's name

    def aside(self, now: datetime) -> str:
        """The schedules that are set aside now, as a parameter of statements: JSON [[name, updated_at] ...]."""
        lasting = timedelta(seconds=LONGEST_SECONDS)
        for name in [name for name, case in self._cases.items() if case.look_at + lasting < now]:
            self.forget(name)  # it was not tried again, so it is decided, or gone
        left_out = [(name, case.seen) for name, case in self._cases.items() if case.look_at > now]
        return msgspec.json.encode(left_out).decode()

    def forget(self, name: str) -> bool:
        """It was decided. False if it was not set aside."""
        self.asked.pop(name, None)
        return self._cases.pop(name, None) is not None

    def step_back(self, engine: Engine, found: Found, error: Exception, now: datetime) -> None:
        """Try this schedule again later, and report the problem if its tick is late already."""
        name, seen = found.name, found.seen
        case = self._cases.get(name)
        if case is None or case.seen != seen:
            case = self._cases[name] = _Case(seen, now, now, 0.0)
            if isinstance(error, (NoAnswerError, *PASSING_ERRORS)):
                logger.warning("schedule %s waits, the others continue: %s", name, text_of(error))
            else:
                logger.error("schedule %s cannot be decided, the others continue", name, exc_info=error)
        case.seconds = longer_wait(case.seconds, first_seconds=FIRST_SECONDS, longest_seconds=LONGEST_SECONDS)
        case.look_at = now + timedelta(seconds=case.seconds)
        due = found.due_at
        late = now - case.since if due is None or due > now else now - max(case.since, due)
        if late >= timedelta(seconds=TOLD_AFTER_SECONDS):
            problem = text_of(error) if isinstance(error, NoAnswerError) else reason_of(error)
            _report(engine, name, seen, problem, is_new=not case.is_told)
            case.is_told = True


_of_engines: WeakKeyDictionary[Engine, dict[Work, Stuck]] = WeakKeyDictionary()


def stuck_of(engine: Engine, work: Work) -> Stuck:
    """The schedules of this database whose ticks, or whose queues, this process cannot decide."""
    found = _of_engines.get(engine)
    if found is None:
        found = _of_engines[engine] = {work: Stuck() for work in Work}
    return found[work]


def on_its_own(engine: Engine, work: Work, found: Found, deal: Callable[[], int], now: datetime) -> int:
    """Deal with one schedule, or set it aside. Returns how many were dealt with, which is 1 in both cases."""
    stuck, name = stuck_of(engine, work), found.name
    try:
        done = deal()
    except OF_ALL:
        raise
    except Exception as error:  # noqa: BLE001 - it is reported, and the others must continue
        stuck.step_back(engine, found, error, now)
        return 1
    if done and stuck.forget(name):
        logger.info("schedule %s is decided again", name)
    return done


def _report(engine: Engine, name: str, seen: Any, problem: str, *, is_new: bool) -> None:
    """Write it into the schedule's row, and as an event if it is new, unless that is done."""
    try:
        if engine.act(_write_down, name, seen, problem, is_new=is_new):
            logger.error("schedule %s is stuck: %s", name, problem)
    except OF_ALL:
        raise
    except StoreError:
        logger.exception("it cannot be recorded that schedule %s is stuck: %s", name, problem)


def _write_down(act: Act, name: str, seen: Any, problem: str, *, is_new: bool) -> bool:
    held = [ScheduleColumns(*row) for row in act.tx.all("take_schedule", name=name)]
    if not held or held[0].updated_at != seen or not act.tx.all("set_schedule_problem", name=name, problem=problem):
        return False
    if is_new:  # otherwise a tick was decided, which cleared it, while the queue was still stuck
        record_event(act, "schedule.stuck", namespace=namespace_of(name), schedule=name, problem=problem)
    return is_new
