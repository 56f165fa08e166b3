"""Chores that process many runs in one transaction, and one by one if a run causes an error.

Promise: a run that another transaction holds, whose rows are damaged, or that the database refuses to change, does not
delay the others. It is set aside: left alone for a second, then for two, four ... and at last for a minute. If waiting
does not help, the chore's last resort is applied. Only an error that concerns every run (the database is away, full,
read-only) is raised.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from segue.engine.act import Act
from segue.engine.acts import Acts
from segue.engine.backoff import longer_wait
from segue.errors import (
    PASSING_ERRORS,
    SchemaError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)  # fmt: skip
from segue.observing.harmless_log import get_logger
from segue.store.protocol import Transaction

OF_ALL = (StoreUnavailableError, StoreFullError, StoreReadOnlyError, SchemaError)
"""Errors of the database that concern every run."""

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0
TRIES = 3  # until a run that is refused is given up
MOMENT_SECONDS = 3.0  # how long runs are processed one by one, before other chores get their turn

logger = get_logger("segue.chores")


class Scope(NamedTuple):
    """The runs that a chore is to process: one, or all except those that are set aside."""

    only: str | None = None
    aside: Sequence[str] = ()


ALL_RUNS = Scope()


class SteppedBack:
    """Runs that caused an error in a chore, and until when each is left alone."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._cases: dict[tuple[str, str], tuple[float, float, int]] = {}  # (chore, run): until when, how long, tries

    def of(self, chore: str) -> list[str]:
        """The runs that a chore is to leave alone now."""
        now = self._monotonic()
        for key in [key for key, (until, *_) in self._cases.items() if until + 2 * LONGEST_SECONDS < now]:
            del self._cases[key]  # it did not fail again
        return sorted(run_id for (of, run_id), (until, *_) in self._cases.items() if of == chore and until > now)

    def put(self, chore: str, run_id: str) -> int:
        """Set the run aside, each time for longer. Returns how often that has happened."""
        _, seconds, tries = self._cases.get((chore, run_id), (0.0, 0.0, 0))
        wait = longer_wait(seconds, first_seconds=FIRST_SECONDS, longest_seconds=LONGEST_SECONDS)
        self._cases[chore, run_id] = (self._monotonic() + wait, wait, tries + 1)
        return tries + 1

    def forget(self, chore: str, run_id: str) -> None:
        """The run was processed."""
        self._cases.pop((chore, run_id), None)


Work = Callable[[Act, Scope], int]
Find = Callable[[Transaction, datetime, Scope], Sequence[str]]
GiveUp = Callable[[Acts, str, Exception], None]


class SteppingActs(Acts, Protocol):
    """The engine, with the runs that its chores have set aside."""

    @property
    def stepped_back(self) -> SteppedBack:
        """Those runs."""


def one_by_one(engine: SteppingActs, chore: str, work: Work, *, find: Find, give_up: GiveUp) -> int:
    """Do `work` for all runs, or, if that fails, for each run that `find` finds. Returns how many were dealt with.

    `give_up` is applied to a run for which no further try can succeed.
    """
    scope = Scope(aside=engine.stepped_back.of(chore))
    try:
        return engine.act(_waiting_shortly, work, scope)
    except OF_ALL:
        raise
    except Exception as error:
        with engine.reading() as tx:
            ids = find(tx, engine.store.now(), scope)
        if not ids:
            raise
        if engine.once.is_news((chore, type(error), str(error)[:200])):
            logger.warning(
                "%s: %d runs are processed one by one, because it failed for all: %s", chore, len(ids), error
            )
    end = time.monotonic() + MOMENT_SECONDS
    done = 0
    for run_id in ids:
        done += on_its_own(engine, chore, run_id, work, give_up)
        if time.monotonic() >= end:
            break
    return done


def _waiting_shortly(act: Act, work: Work, scope: Scope) -> int:
    act.tx.later("wait_shortly")
    return work(act, scope)


def on_its_own(engine: SteppingActs, chore: str, run_id: str, work: Work, give_up: GiveUp) -> int:
    """Do `work` for one run, or set it aside."""
    try:
        done = engine.act(_waiting_shortly, work, Scope(run_id))
    except OF_ALL:
        raise
    except Exception as error:  # noqa: BLE001 - this run's rows may cause any error
        return int(step_back(engine, chore, run_id, error, give_up))
    engine.stepped_back.forget(chore, run_id)
    return done


def step_back(engine: SteppingActs, chore: str, run_id: str, error: Exception, give_up: GiveUp) -> bool:
    """Leave this run alone for a while, so that the others continue. True if it was given up, because no try can
    succeed.

    A run that is held waits for as long as it takes. A run that was refused is tried a few times first: some refusals
    pass.
    """
    tries = engine.stepped_back.put(chore, run_id)
    if isinstance(error, PASSING_ERRORS):
        if tries == 1:
            who = engine.holders(run_id)
            logger.warning(
                "%s: run %s waits, the others continue: %s", chore, run_id, f"held by {who}" if who else error
            )
        return False
    if tries == 1:
        logger.error("%s: run %s cannot be processed, the others continue", chore, run_id, exc_info=error)
    if tries < TRIES:
        return False
    try:
        give_up(engine, run_id, error)
    except OF_ALL:
        raise
    except Exception as why:  # noqa: BLE001
        if engine.once.is_news((chore, run_id)):
            logger.error("%s: run %s is left as it is: %s", chore, run_id, why)
        return False
    return True
