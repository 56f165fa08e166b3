"""The chores: the periodic background work of a database, and the loop in which one process, the leader, does it.

A chore finds its work by a query and decides under row locks. It may be done twice, by two processes at the same time,
and again after a process died half-way. Leadership therefore only saves work; nothing depends on there being one
leader.

Promises: an unreachable database is waited for; a chore that fails does not delay the others; after any error of the
database in leading, looking or declaring, the chores continue with the next round; `stop` takes effect immediately.
Each cause is logged once in a while.

To add a chore, write a function `(act) -> int` that does a batch and returns how many rows it dealt with, and add a
line to `CHORES`. It is repeated without a pause until it returns 0. A chore that is seldom needed names a statement
that returns the time at which there will be work (null: none). Once a second, all statements of this kind are asked in
one round trip, and the chore is done at the time that its statement returned. The statement may use the parameter
`:now`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Self

from segue.engine.act import Act
from segue.engine.backoff import longer_wait
from segue.engine.chores import prune_workers
from segue.engine.debounce import forget_starts
from segue.engine.definitions import SEEN_SECONDS, prune_code_versions, tell_code
from segue.engine.engine import Engine
from segue.engine.limiting.limits import prune_limits
from segue.engine.scope import OF_ALL
from segue.engine.statistics import add_up_statistics
from segue.engine.stored import moment_of
from segue.engine.turn import TIMERS_AT_ONCE
from segue.engine.watching import prune_watches
from segue.errors import PASSING_ERRORS, SchemaError
from segue.loop.self_pipe import Wakeup
from segue.loop.vitals import Pulse
from segue.observing.harmless_log import get_logger
from segue.observing.once import Once
from segue.scheduler.debouncing import start_due_debounces
from segue.scheduler.declared import declare_schedules
from segue.scheduler.firing import fire_due, known_workflows, start_queued
from segue.scheduler.leader import LEASE_SECONDS, Lead
from segue.scheduler.payload_sweep import sweep_payloads
from segue.scheduler.stuck import Work, stuck_of
from segue.scheduler.sweeping import Sweeper

LOOK_SECONDS = 1.0
NO_TOO_SOON_SECONDS = 0.002  # a wait that ended a little early would find nothing to do, and be repeated much later
LONGEST_BACK_OFF_SECONDS = 5.0
LEAVE_SECONDS = 5.0
HELP_AFTER_SECONDS = 3.0  # a tick must be this late before processes other than the leader start it
SLEPT_SECONDS = 1.0  # a wait that took this much longer means that the process was stopped
AFTER_A_FAULT_SECONDS = 30.0  # until a chore that raised an unexpected error is tried again
AFTER_A_WAIT_SECONDS = 2.0  # until a chore that another session blocked is tried again
DECLARE_AGAIN_SECONDS = 60.0

logger = get_logger("segue.chores")


STALE_SECONDS = 60.0  # a scheduler whose rounds fail for so long says that it is not ready


@dataclass(frozen=True, slots=True)
class Chore:
    """One kind of work of the leader."""

    name: str
    every_seconds: float  # the shortest time between two tries, after it found nothing to do
    act: Callable[[Engine], int]  # does a batch, returns how many rows it dealt with
    next_due: str | None = None  # a statement: when there will be work
    work: Work = Work.TICKS  # of schedules: a schedule that is stuck in this work is no reason to look
    late_seconds: float = 0.0  # work is left this long to other processes, which do it as well
    is_considerate: bool = False  # after each batch it pauses for as long as the batch took


def in_one(verb: Callable[[Act], int]) -> Callable[[Engine], int]:
    """Make a chore of a verb of the engine: one transaction for each batch."""
    return lambda engine: engine.act(verb)


def _open_timers(act: Act) -> int:
    """Let the steps whose time has come be claimed, where no worker checks the timers itself."""
    found = act.tx.all("next_timer")[0][0]
    upcoming = moment_of(act.tx, found)
    if found is None or (upcoming is not None and upcoming > act.now):
        return 0
    act.tx.later("due_timers", now=act.now, limit=TIMERS_AT_ONCE)
    act.tx.later("wake")
    return 1


def retention() -> Chore:
    """Deletes runs that were kept long enough; it remembers its position."""
    return Chore("retention", 60.0, Sweeper().go_on, is_considerate=True)


def say_code(engine: Engine) -> int:
    """Record which code this process has, and that the process is alive. Returns 0: nothing is left to do."""
    from segue.authoring.describing.describe import code_version  # noqa: PLC0415 - takes milliseconds

    code = code_version()
    if code is not None:
        tell_code(engine, code)
    return 0


CHORES: tuple[Chore, ...] = (
    Chore("schedules", 1.0, fire_due, next_due="next_schedule"),
    Chore("queued ticks", 1.0, start_queued, next_due="next_queued", work=Work.QUEUE),
    Chore("debounces", 1.0, start_due_debounces, next_due="next_debounce"),
    Chore("rescue", 5.0, Engine.rescue_steps),
    Chore("unfinished runs", 5.0, Engine.carry_on),
    Chore("alarms", 1.0, Engine.ring_alarms, next_due="next_alarm"),
    Chore("admission", 1.0, Engine.admit_waiting, next_due="next_admission"),
    Chore("unused limits", 60.0, in_one(prune_limits)),
    Chore("payloads", 60.0, sweep_payloads, is_considerate=True),
    Chore("remembered starts", 60.0, in_one(forget_starts)),
    Chore("statistics", 60.0, in_one(add_up_statistics)),
    Chore("live output", 60.0, in_one(prune_watches)),
    Chore("ended workers", 60.0, in_one(prune_workers)),
    Chore("code", SEEN_SECONDS, say_code),
    Chore("old code versions", 60.0, in_one(prune_code_versions)),
    Chore("timers", 1.0, in_one(_open_timers), next_due="next_timer", late_seconds=1.0),
)

HELP: tuple[Chore, ...] = (
    # The chores of processes that do not lead: the leader need not know every workflow.
    Chore(
        "overdue schedules", 1.0, partial(fire_due, late_seconds=HELP_AFTER_SECONDS), next_due="next_schedule",
        late_seconds=HELP_AFTER_SECONDS,
    ),
    Chore("queued ticks", 1.0, start_queued, next_due="next_queued", work=Work.QUEUE),
    Chore("overdue debounces", 1.0, start_due_debounces, next_due="next_debounce", late_seconds=HELP_AFTER_SECONDS),
    Chore("code", SEEN_SECONDS, say_code),
)  # fmt: skip


def parameters_of(engine: Engine, chore: Chore, now: datetime) -> dict[str, Any]:
    """What a statement that tells the time of a chore may use."""
    return {"now": now, "known": known_workflows(engine), "aside": stuck_of(engine, chore.work).aside(now)}


def do_chores(engine: Engine) -> int:
    """Do everything of `CHORES` that is due, in the calling thread; returns how many rows were dealt with.

    For tests, which need no leader and no thread. Declared schedules are written first.
    """
    declare_schedules(engine)
    count = 0
    for chore in CHORES:
        while done := chore.act(engine):
            count += done
    return count


def next_moment(engine: Engine) -> datetime | None:
    """When a chore will have work, as far as the database knows; None if nothing waits for its time."""
    now = engine.store.now()
    with engine.reading() as tx:
        found = [tx.all(chore.next_due, **parameters_of(engine, chore, now)) for chore in CHORES if chore.next_due]
        moments = [moment_of(tx, rows[0][0]) for rows in found if rows]
    return min((moment for moment in moments if moment is not None), default=None)


class Chores:
    """Does the chores of a database in a separate thread while its `with` block lasts, or in `run`.

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
        self._wakeup = Wakeup()
        self._thread: threading.Thread | None = None
        self._not_before: dict[str, float] = {}
        self._told: dict[str, float] = {}  # when the chores that name a statement are due
        self._look_at = 0.0
        self._was_leading = False
        self._has_declared = False
        self._expected_at = math.inf  # when the next round should begin
        self._back_off_seconds = 0.0
        self._declare_at = 0.0
        self._once = Once(monotonic=monotonic)
        self.vitals = Pulse("the scheduler", stale_seconds=STALE_SECONDS, clock=monotonic)

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
            self._thread.join(LEAVE_SECONDS)  # it may be waiting for an unreachable database

    def run(self) -> None:
        """Do the chores until `stop` is called. Raises what waiting cannot fix: an outdated schema, a wrong URL."""
        try:
            while not self._wakeup.is_rung:
                self._wakeup.wait(self.do_round())
        finally:
            self._give_up()
            self._wakeup.close()

    def stop(self) -> None:
        """Ask it to end. Safe in signal handlers and other threads."""
        self._wakeup.ring()

    def do_round(self) -> float:
        """Do what is due now, if this process leads. Returns the seconds until there may be more."""
        if self._back_off_seconds or self._monotonic() > self._expected_at + SLEPT_SECONDS:
            # Other processes, and this process's own worker, may have been cut off or stopped as well: they get the
            # time to renew their leases before any step is rescued.
            self._begin_slowly()
        self.vitals.came_round()
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
        except SchemaError:
            raise
        except Exception as error:  # noqa: BLE001 - the next round may succeed
            return self._back_off(error)
        if self._back_off_seconds:
            self._back_off_seconds = 0.0
            logger.info("the database is reachable again")
        self.vitals.was_answered()
        return min(pause, self._lead.wait_seconds)

    def _do_what_is_due(self) -> float:
        self._look()
        for chore in self._table:
            if self._wakeup.is_rung:
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
        """Ask when there will be work, for all chores in one round trip."""
        begun = self._monotonic()
        asking = [chore for chore in self._table if chore.next_due is not None]
        if begun < self._look_at:
            return
        now = self._engine.store.now()
        try:
            told = self._ask(asking, now)
        except PASSING_ERRORS:
            raise
        except SchemaError:
            raise
        except Exception as error:  # noqa: BLE001 - one of the statements failed: the others are answered without it
            told = self._ask_each(asking, now, error)
        for chore, seconds in told.items():
            self._told[chore.name] = begun + seconds + NO_TOO_SOON_SECONDS
        self._look_at = begun + (LOOK_SECONDS if self._was_leading else HELP_AFTER_SECONDS)

    def _ask(self, asking: Sequence[Chore], now: datetime) -> dict[Chore, float]:
        """In how many seconds each of these will have work."""
        with self._engine.reading() as tx:
            answers = [tx.later(str(chore.next_due), **parameters_of(self._engine, chore, now)) for chore in asking]
            rows = [answer.rows() for answer in answers]
            found = [rows_of_one[0][0] if rows_of_one else None for rows_of_one in rows]
            moments = [moment_of(tx, due) for due in found]
        told = {}
        for chore, due, moment in zip(asking, found, moments, strict=True):
            if due is not None and moment is None:  # a damaged time: the chore finds the row, and sets it aside
                moment = now
            told[chore] = math.inf if moment is None else (moment - now).total_seconds() + chore.late_seconds
        return told

    def _ask_each(self, asking: Sequence[Chore], now: datetime, error: Exception) -> dict[Chore, float]:
        if self._once.is_news(("look", type(error))):
            logger.error("asking for due work failed, asking for one chore at a time", exc_info=error)
        told: dict[Chore, float] = {}
        for chore in asking:
            try:
                told |= self._ask([chore], now)
            except PASSING_ERRORS:
                raise
            except Exception as why:  # noqa: BLE001
                if self._once.is_news((chore.name, type(why))):
                    logger.error("the time of %s cannot be read, the chore is done anyway: %s", chore.name, why)
                told[chore] = 0.0
        return told

    def _do(self, chore: Chore) -> None:
        begun = self._monotonic()
        try:
            done = chore.act(self._engine)
        except OF_ALL:
            raise
        except PASSING_ERRORS as error:  # another session holds what this chore needs; the others may succeed
            if self._once.is_news((chore.name, type(error))):
                logger.warning("%s waits for another session, the other chores continue: %s", chore.name, error)
            self._not_before[chore.name] = self._monotonic() + AFTER_A_WAIT_SECONDS
            return
        except Exception as error:  # an error in one chore must not delay the others
            if self._once.is_news((chore.name, type(error), str(error)[:200])):
                logger.exception("%s failed, trying again every %g s", chore.name, AFTER_A_FAULT_SECONDS)
            self._not_before[chore.name] = begun + AFTER_A_FAULT_SECONDS
            return
        ended = self._monotonic()
        if not done:
            self._not_before[chore.name] = ended + chore.every_seconds
            return
        logger.debug("%s: %d", chore.name, done)
        self._not_before[chore.name] = ended + (ended - begun) if chore.is_considerate else ended
        self._look_at = -math.inf

    def _back_off(self, error: Exception) -> float:
        self._back_off_seconds = longer_wait(
            self._back_off_seconds, first_seconds=0.2, longest_seconds=LONGEST_BACK_OFF_SECONDS
        )
        is_known = isinstance(error, PASSING_ERRORS)
        if is_known or self._once.is_news((type(error), str(error)[:200])):
            logger.warning(
                "%s Next try in %.1f s.", error, self._back_off_seconds, exc_info=None if is_known else error
            )
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
            logger.info(
                "this process is now the leader (term %d): it runs schedules, timeouts and clean-up", self._lead.term
            )
        else:
            logger.warning("this process is no longer the leader: another one runs schedules, timeouts and clean-up")

    def _declare(self) -> None:
        if self._has_declared or self._monotonic() < self._declare_at:
            return
        try:
            declare_schedules(self._engine)
            say_code(self._engine)
        except OF_ALL:
            raise
        except Exception:  # the other chores continue
            self._declare_at = self._monotonic() + DECLARE_AGAIN_SECONDS
            if self._once.is_news("declare"):
                logger.exception(
                    "the schedules of the code could not be stored, trying again every %g s", DECLARE_AGAIN_SECONDS
                )
            return
        self._has_declared = True

    def _give_up(self) -> None:
        try:
            self._lead.give_up()
        except Exception as error:  # noqa: BLE001 - this process ends
            logger.warning("could not give up the lead, its lease will expire: %s", error)

    def _run_and_say(self) -> None:
        """In a thread, an error would go unnoticed: log it, and try again later, as the tables may be upgraded."""
        try:
            while not self._wakeup.is_rung:
                try:
                    self._wakeup.wait(self.do_round())
                except Exception as error:
                    if self._once.is_news(("thread", str(error)[:200])):
                        logger.exception(
                            "this process cannot do the chores, trying again every %g s", AFTER_A_FAULT_SECONDS
                        )
                    self._wakeup.wait(AFTER_A_FAULT_SECONDS)
        finally:
            self._give_up()
            self._wakeup.close()
