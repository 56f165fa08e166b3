"""The chores: what must be done now and then by somebody, and the loop in which one process, the leader, does them.

A chore finds by a query what is to be done, decides under row locks, and may be done twice, by two at once, and again
after it died half-way. So leadership only saves work; nothing depends on there being one leader.

Promises: a database that is away is waited for; a chore that fails holds up no other; `stop` is heard at once.

To add one, write a function `(store, tx, now) -> int` that does a batch and returns how many it dealt with, and a line
in `CHORES`. It is repeated at once until it returns 0. One that is seldom needed names a statement that returns the
moment at which there will be something to do (null: nothing); that is asked once a second, with all others of its kind
in one round trip, and the chore is done at that moment. The statement may use the parameter `:now`.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Self

from segue.engine import chores
from segue.engine.alarms import ring_alarms
from segue.engine.engine import Engine
from segue.engine.limits import prune_limits
from segue.engine.retention import Sweeper
from segue.engine.turn import TIMERS_AT_ONCE
from segue.errors import PASSING_ERRORS, SchemaError, SegueError, StoreError
from segue.scheduler.bell import Bell
from segue.scheduler.bundling import start_due_bundles
from segue.scheduler.declared import declare_schedules
from segue.scheduler.firing import fire_due, known_workflows, start_queued
from segue.scheduler.leader import LEASE_SECONDS, Lead
from segue.scheduler.stuck import Work, stuck_of
from segue.store.protocol import Store, Transaction

LOOK_SECONDS = 1.0
NO_TOO_SOON_SECONDS = 0.002  # a wait that ends a little early would find nothing to do, and come back much later
LONGEST_BACK_OFF_SECONDS = 5.0
LEAVE_SECONDS = 5.0
HELP_AFTER_SECONDS = 3.0  # so late may a tick be before others than the leader start it
SLEPT_SECONDS = 1.0  # a wait that took so much longer means that the process was stopped
AFTER_A_FAULT_SECONDS = 30.0  # until a chore that raised something unexpected is tried again

logger = logging.getLogger("segue.chores")


@dataclass(frozen=True, slots=True)
class Chore:
    """One of the things that the leader does."""

    name: str
    every_seconds: float  # how soon after it found nothing to do it is done again, at the earliest
    act: Callable[[Engine], int]  # does a batch, returns how many it dealt with
    next_due: str | None = None  # a statement: when there will be something to do
    work: Work = Work.TICKS  # of schedules: those that are stuck in it are no reason to look
    late_seconds: float = 0.0  # for so long it is left to others, who do it as well
    is_considerate: bool = False  # after each batch it rests for as long as that took


def in_one(act: Callable[[Store, Transaction, datetime], int]) -> Callable[[Engine], int]:
    """An act of the engine's as a chore's: one transaction for each batch."""
    return lambda engine: engine.act(lambda tx, now: act(engine.store, tx, now))


def _open_timers(store: Store, tx: Transaction, now: datetime) -> int:
    """Let the steps whose time has come be claimed, where no worker looks at the timers itself."""
    upcoming = store.datetime(tx.all("next_timer")[0][0])
    if upcoming is None or upcoming > now:
        return 0
    tx.later("due_timers", now=now, limit=TIMERS_AT_ONCE)
    tx.later("wake")
    return 1


def retention() -> Chore:
    """Deletes what has been kept for long enough; it remembers how far it is."""
    return Chore("retention", 60.0, Sweeper().go_on, is_considerate=True)


CHORES: tuple[Chore, ...] = (
    Chore("schedules", 1.0, fire_due, next_due="next_schedule"),
    Chore("queued ticks", 1.0, start_queued, next_due="next_queued", work=Work.QUEUE),
    Chore("bundles", 1.0, start_due_bundles, next_due="next_bundle"),
    Chore("rescue", 5.0, in_one(chores.rescue)),
    Chore("alarms", 1.0, in_one(ring_alarms), next_due="next_alarm"),
    Chore("admission", 1.0, Engine.admit_waiting, next_due="next_admission"),
    Chore("unused limits", 60.0, in_one(prune_limits)),
    Chore("timers", 1.0, in_one(_open_timers), next_due="next_timer", late_seconds=1.0),
)

HELP: tuple[Chore, ...] = (
    # What those do who do not lead: the leader need not know every workflow.
    Chore(
        "overdue schedules", 1.0, partial(fire_due, late_seconds=HELP_AFTER_SECONDS), next_due="next_schedule",
        late_seconds=HELP_AFTER_SECONDS,
    ),
    Chore("queued ticks", 1.0, start_queued, next_due="next_queued", work=Work.QUEUE),
    Chore("overdue bundles", 1.0, start_due_bundles, next_due="next_bundle", late_seconds=HELP_AFTER_SECONDS),
)  # fmt: skip


class Chores:
    """Does the chores of a database while its block lasts, in a thread of its own, or in `run`.

    Example::

        with Chores(segue.engine):
            worker.run()
    """

    def __init__(
        self, engine: Engine, *, table: Sequence[Chore] | None = None, lease_seconds: float = LEASE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._of_the_leader = (*CHORES, retention()) if table is None else table
        self._table: Sequence[Chore] = HELP
        self._monotonic = monotonic
        self._lead = Lead(engine, monotonic=monotonic, lease_seconds=lease_seconds)
        self._bell = Bell()
        self._thread: threading.Thread | None = None
        self._not_before: dict[str, float] = {}
        self._told: dict[str, float] = {}  # when those that name a statement are due
        self._look_at = 0.0
        self._was_leading = False
        self._has_declared = False
        self._expected_at = math.inf  # when the next round should begin
        self._back_off_seconds = 0.0

    @property
    def is_leading(self) -> bool:
        """Whether this process does the chores now."""
        return self._lead.is_mine

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run_and_say, name="segue-chores", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join(LEAVE_SECONDS)  # it may be waiting for a database that is away

    def run(self) -> None:
        """Do the chores until `stop` is called. Raises what no patience mends: an outdated schema, a wrong URL."""
        try:
            while not self._bell.is_rung:
                self._bell.wait(self.do_round())
        finally:
            self._give_up()
            self._bell.close()

    def stop(self) -> None:
        """Ask it to end. Safe in signal handlers and other threads."""
        self._bell.ring()

    def do_round(self) -> float:
        """Do what is due now, if this process leads; returns the seconds until there may be more."""
        if self._back_off_seconds or self._monotonic() > self._expected_at + SLEPT_SECONDS:
            # Others may have been cut off or stopped as well, this process's own worker for one: they get the time to
            # renew their leases before anybody is rescued.
            self._begin_slowly()
        pause = self._round()
        self._expected_at = self._monotonic() + pause
        return pause

    # Inside -------------------------------------------------------------------------------------------------------

    def _round(self) -> float:
        try:
            self._declare()
            if not self._lead.wait_seconds:
                self._lead.ask()
            self._see_who_leads()
            pause = self._do_what_is_due()
        except PASSING_ERRORS as error:
            return self._back_off(error)
        if self._back_off_seconds:
            self._back_off_seconds = 0.0
            logger.info("the database is back")
        return min(pause, self._lead.wait_seconds)

    def _do_what_is_due(self) -> float:
        self._look()
        for chore in self._table:
            if self._bell.is_rung:
                break
            if not self._lead.wait_seconds and self._lead.ask() != self._was_leading:
                return 0.0
            if self._monotonic() >= self._due(chore):
                self._do(chore)
        soonest = min([self._look_at, *(self._due(chore) for chore in self._table)])
        return max(soonest - self._monotonic(), 0.0)

    def _due(self, chore: Chore) -> float:
        told = -math.inf if chore.next_due is None else self._told.get(chore.name, math.inf)
        return max(told, self._not_before.get(chore.name, -math.inf))

    def _look(self) -> None:
        """Ask when there will be something to do, all in one round trip."""
        begun = self._monotonic()
        asking = [chore for chore in self._table if chore.next_due is not None]
        if begun < self._look_at:
            return
        store = self._engine.store
        now = store.now()
        with store.reading() as tx:
            answers = [tx.later(str(chore.next_due), **self._parameters(chore, now)) for chore in asking]
            rows = [answer.rows() for answer in answers]
        for chore, found in zip(asking, rows, strict=True):
            moment = store.datetime(found[0][0]) if found else None
            seconds = math.inf if moment is None else (moment - now).total_seconds() + chore.late_seconds
            self._told[chore.name] = begun + seconds + NO_TOO_SOON_SECONDS
        self._look_at = begun + (LOOK_SECONDS if self._was_leading else HELP_AFTER_SECONDS)

    def _parameters(self, chore: Chore, now: datetime) -> dict[str, Any]:
        return {"now": now, "known": known_workflows(), "aside": stuck_of(self._engine, chore.work).aside(now)}

    def _do(self, chore: Chore) -> None:
        begun = self._monotonic()
        try:
            done = chore.act(self._engine)
        except (*PASSING_ERRORS, SchemaError):
            raise
        except Exception:  # a fault in one chore must not hold up the others
            logger.exception("%s failed, will try again in %g s", chore.name, AFTER_A_FAULT_SECONDS)
            self._not_before[chore.name] = begun + AFTER_A_FAULT_SECONDS
            return
        ended = self._monotonic()
        if not done:
            self._not_before[chore.name] = ended + chore.every_seconds
            return
        logger.debug("%s: %d", chore.name, done)
        self._not_before[chore.name] = ended + (ended - begun) if chore.is_considerate else ended
        self._look_at = -math.inf

    def _back_off(self, error: StoreError) -> float:
        self._back_off_seconds = min(max(self._back_off_seconds * 2, 0.2), LONGEST_BACK_OFF_SECONDS)
        logger.warning("%s Next try in %.1f s.", error, self._back_off_seconds)
        return self._back_off_seconds

    def _begin_slowly(self) -> None:
        now = self._monotonic()
        self._not_before = {chore.name: now + chore.every_seconds for chore in self._table if chore.next_due is None}
        self._look_at = -math.inf

    def _see_who_leads(self) -> None:
        leads = self._lead.is_mine
        if leads == self._was_leading:
            return
        self._was_leading = leads
        self._table = self._of_the_leader if leads else HELP
        self._begin_slowly()
        if leads:
            logger.info("does the chores from now on (term %d)", self._lead.term)
        else:
            logger.warning("another process does the chores from now on")

    def _declare(self) -> None:
        if self._has_declared:
            return
        try:
            declare_schedules(self._engine)
        except (*PASSING_ERRORS, SchemaError):
            raise
        except SegueError:
            logger.exception("the schedules of the code could not be written down")
        self._has_declared = True

    def _give_up(self) -> None:
        try:
            self._lead.give_up()
        except StoreError as error:
            logger.warning("could not give up the lead, its lease will run out: %s", error)

    def _run_and_say(self) -> None:
        try:
            self.run()
        except Exception:
            logger.exception("the chores are no longer done by this process")
