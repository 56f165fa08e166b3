"""Schedules that this process cannot decide: they step back, so that the others go on.

Perhaps another version wrote it, this machine lacks a time zone, the database refuses the run, or the workflow does not
return. Nothing is given up for that: the tick stays undecided, and this process looks again after a second, then two,
four ... and at last every five minutes, and at once when somebody changes the schedule. Others are free to decide it
meanwhile. When nobody has after some seconds, that is told: once, until it is mended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from segue.engine.engine import Engine
from segue.engine.events import record_event
from segue.errors import PASSING_ERRORS, SchemaError, StoreError
from segue.scheduler.calling import Call, NoAnswerError
from segue.scheduler.faults import reason_of, text_of
from segue.store.protocol import Transaction

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0
TOLD_AFTER_SECONDS = 6.0  # longer than others than the leader need to notice that a tick is late

T = TypeVar("T")
logger = logging.getLogger("segue.chores")


class Work(StrEnum):
    """What is to be decided of a schedule. A queue may be stuck while ticks go on to join it."""

    TICKS = "ticks"
    QUEUE = "queue"


class _Case(msgspec.Struct):
    """A schedule that could not be decided."""

    seen: Any  # its `updated_at` then, as the database returns it: a change makes it another case
    since: datetime
    look_at: datetime
    seconds: float  # until the next look
    is_told: bool = False


class Asked(msgspec.Struct, Generic[T]):
    """A call that has not returned, and what is to be done with the answer."""

    of: Any  # the schedule's state that it was asked for
    what: T
    call: Call[Any]


class Stuck:
    """What a process knows of the schedules of a database that it cannot decide."""

    def __init__(self) -> None:
        self._cases: dict[str, _Case] = {}
        self.asked: dict[str, Asked[Any]] = {}  # by the schedule's name

    def aside(self, now: datetime) -> str:
        """Those that are not to be looked at now, as statements want them: JSON [[name, updated_at] ...]."""
        lasting = timedelta(seconds=LONGEST_SECONDS)
        for name in [name for name, case in self._cases.items() if case.look_at + lasting < now]:
            self.forget(name)  # nobody looked again, so it is decided, or gone
        left_out = [(name, case.seen) for name, case in self._cases.items() if case.look_at > now]
        return msgspec.json.encode(left_out).decode()

    def forget(self, name: str) -> bool:
        """It was decided; False when it was no case."""
        self.asked.pop(name, None)
        return self._cases.pop(name, None) is not None

    def step_back(self, engine: Engine, row: Sequence[Any], error: Exception, now: datetime) -> None:
        """Look again later at this row of `schedule_columns`, and tell why when its tick is late already."""
        name, seen = str(row[0]), row[-1]
        case = self._cases.get(name)
        if case is None or case.seen != seen:
            case = self._cases[name] = _Case(seen, now, now, FIRST_SECONDS)
            if isinstance(error, NoAnswerError):
                logger.warning("schedule %s waits, the others go on: %s", name, text_of(error))
            else:
                logger.error("schedule %s cannot be decided, the others go on", name, exc_info=error)
        case.look_at = now + timedelta(seconds=case.seconds)
        case.seconds = min(case.seconds * 2, LONGEST_SECONDS)
        due = engine.store.datetime(row[-3])
        late = now - case.since if due is None or due > now else now - max(case.since, due)
        if late >= timedelta(seconds=TOLD_AFTER_SECONDS):
            problem = text_of(error) if isinstance(error, NoAnswerError) else reason_of(error)
            _tell(engine, name, seen, problem, is_new=not case.is_told)
            case.is_told = True


_of_engines: WeakKeyDictionary[Engine, dict[Work, Stuck]] = WeakKeyDictionary()


def stuck_of(engine: Engine, work: Work) -> Stuck:
    """What this process knows of the schedules of this database whose ticks, or whose queues, it cannot decide."""
    found = _of_engines.get(engine)
    if found is None:
        found = _of_engines[engine] = {work: Stuck() for work in Work}
    return found[work]


def on_its_own(engine: Engine, work: Work, row: Sequence[Any], act: Callable[[], int], now: datetime) -> int:
    """Deal with one schedule, or let it step back; returns how many were dealt with, which is 1 then as well."""
    stuck, name = stuck_of(engine, work), str(row[0])
    try:
        done = act()
    except (*PASSING_ERRORS, SchemaError):
        raise
    except Exception as error:  # noqa: BLE001 - it is told, and the others must go on
        stuck.step_back(engine, row, error, now)
        return 1
    if done and stuck.forget(name):
        logger.info("schedule %s is decided again", name)
    return done


def _tell(engine: Engine, name: str, seen: Any, problem: str, *, is_new: bool) -> None:
    """Write it into the schedule's row, and down as an event when it is new, unless that is done."""

    def act(tx: Transaction, now: datetime) -> bool:
        held = tx.all("take_schedule", name=name)
        if not held or held[0][-1] != seen or not tx.all("set_schedule_problem", name=name, problem=problem):
            return False
        if is_new:  # otherwise a tick was decided, which cleared it, while the queue went on being stuck
            record_event(tx, now, "schedule.stuck", schedule=name, problem=problem)
        return is_new

    try:
        if engine.act(act):
            logger.error("schedule %s is stuck: %s", name, problem)
    except (*PASSING_ERRORS, SchemaError):
        raise
    except StoreError:
        logger.exception("it cannot be written down that schedule %s is stuck: %s", name, problem)
