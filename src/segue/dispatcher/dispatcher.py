"""The dispatcher of one executor: a loop of short rounds, each of which may be the last.

    record    ends that were collected, and the outcomes of steps that need not run; plan what may be sent now
    submit    what is planned: said in the database first, then to the platform
    search    for what may have been submitted without an answer, before it is submitted again
    look      at what is outside; begun attempts are running, ended ones are collected
    end       what was asked to end, until the platform says that it has
    clean     what ended attempts left outside; jobs outside that no push knows

It keeps nothing in memory that matters: after a crash another one continues from the rows. Several may run at once.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from os import getpid
from typing import TypeVar

from segue.dispatcher.meaning import outcome_of, refused
from segue.dispatcher.protocol import (
    BlindError,
    BusyError,
    Collected,
    Phase,
    PolledExecutor,
    Push,
    RefusedError,
    Sighting,
    Submission,
)
from segue.dispatcher.work import Command, command_of, is_command
from segue.engine import pushing
from segue.engine.claiming.sending import SendingMemory
from segue.engine.dispatch import Dispatch
from segue.engine.engine import Engine
from segue.engine.executing import Executor
from segue.engine.expand import read_large_plans
from segue.engine.pushing import PushRow, Seen
from segue.errors import PASSING_ERRORS
from segue.model import Outcome
from segue.observing.harmless_log import get_logger

logger = get_logger("segue.dispatcher")

SENT_SECONDS = 300.0  # a step that was sent and has not begun is looked at again after so long
CHORES_SECONDS = 60.0  # between two searches for strays and what is to be cleaned
FIRST_ID = "00000000-0000-0000-0000-000000000000"
T = TypeVar("T")


class Dispatcher:
    """Takes steps of one executor to its platform. `run_once` is one round.

    Example::

        Dispatcher(engine, executor).run_once()
    """

    def __init__(
        self, engine: Engine, executor: PolledExecutor, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._executor = executor
        self._pace = executor.pace
        self._monotonic = monotonic
        self._stored = engine.stored(executor.name)
        self._dispatch = Dispatch(
            Executor(executor.name, is_fenced=False), engine.stored(f"@{executor.name}"), wait_seconds=SENT_SECONDS,
            timers=True, window=executor.pace.window, is_one_queue=True,
        )  # fmt: skip
        self._memory = SendingMemory(monotonic=monotonic)
        self._by = f"{executor.name}@{socket.gethostname()}:{getpid()}"
        self._chores_at = monotonic()
        self._left: list[Outcome] = []  # of steps that need not run; if they are lost, `repair` finds the steps
        self._is_blind = False
        self.blind_since: float | None = None  # since when the platform does not answer

    def run_once(self) -> int:
        """One round. Returns how many pushes moved. Raises the errors of the database."""
        self._is_blind = False
        moved = self._record([], [])
        moved += self._withdraw()
        moved += self._submit()
        moved += self._with_the_platform(self._search)
        moved += self._with_the_platform(self._look)
        moved += self._with_the_platform(self._end)
        if self._monotonic() >= self._chores_at:
            self._chores_at = self._monotonic() + CHORES_SECONDS
            moved += self._engine.act(pushing.repair, self._executor.name, seconds=SENT_SECONDS)
            self._with_the_platform(self._clean)
            self._with_the_platform(self._end_strays)
        if self.blind_since is not None and not self._is_blind:
            self.blind_since = None
            logger.info("%s answers again", self._executor.name)
        return moved

    def run(self, is_to_stop: threading.Event) -> None:
        """Rounds until it is to stop. An error ends a round, not the dispatcher."""
        wait = 0.0
        while not is_to_stop.wait(wait):
            try:
                moved = self.run_once()
                wait = self._pace.look_seconds if not moved else min(self._pace.look_seconds, 0.2)
            except Exception as error:  # noqa: BLE001 - the database is away, or an executor has a bug
                wait = max(self._pace.look_seconds, 1.0)
                logger.warning("the dispatcher of %s goes on in %.0f s: %s", self._executor.name, wait, error)

    # Steps ------------------------------------------------------------------------------------------------------------

    def _record(self, outcomes: Sequence[Outcome], closed: Iterable[str]) -> int:
        """Record ends with their pushes, and plan pushes for what may be sent."""
        outcomes = [*outcomes, *self._left]
        plans = read_large_plans(self._engine.store, outcomes, self._engine.store.now())
        taken = self._engine.act(
            pushing.hand_out, outcomes, list(closed), self._dispatch, executor=self._stored, by=self._by,
            memory=self._memory, plans=plans,
        )  # fmt: skip
        self._left = list(taken.left)
        return len(taken.sent) + len(taken.left)

    def _withdraw(self) -> int:
        with self._engine.reading() as tx:
            if not pushing.has_held(tx, self._stored):
                return 0
        return self._engine.act(pushing.withdraw, self._stored)

    # Submissions ------------------------------------------------------------------------------------------------------

    def _submit(self) -> int:
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            due = pushing.due_pushes(tx, self._stored, now, limit=self._pace.submits_at_once)
            work, unreadable = pushing.jobs_of(tx, due)
        moved = 0
        for row, job, spec in work:
            began = self._monotonic()
            taken = self._engine.act(pushing.take, row, seconds=self._pace.call_seconds + self._pace.settle_seconds)
            if taken is not None:
                moved += 1
                if self._monotonic() - began < self._pace.settle_seconds:  # or this process stood still: it is searched
                    self._submit_one(taken, Submission(_push(row), job, spec))
        if unreadable:
            by_attempt = {row.attempt: row.id for row in due}
            closed = [by_attempt[outcome.run_id, outcome.step, outcome.attempt] for outcome in unreadable]
            self._record(unreadable, closed)
        return moved + len(unreadable)

    def _submit_one(self, row: PushRow, submission: Submission) -> None:
        try:
            external_id = self._executor.submit(submission)
        except RefusedError as error:
            self._record([refused(submission.push, str(error))], [row.id])
        except BusyError as error:
            self._engine.act(pushing.plan_again, row, seconds=error.seconds, reason=str(error))
        except Exception as error:  # noqa: BLE001 - whatever happened, the platform may have it
            logger.warning("%s may have been submitted to %s: %s", submission.push.name, self._executor.name, error)
            self._engine.act(pushing.note_unsure, row, seconds=self._pace.settle_seconds, reason=str(error))
        else:
            self._accept(row, external_id)

    def _accept(self, row: PushRow, external_id: str) -> None:
        """If the push has another job by now, this one is a stray, and `_end_strays` finds it."""
        self._engine.act(pushing.accept, row, external_id)

    def _search(self) -> int:
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            rows = pushing.unsure_pushes(tx, self._stored, now, limit=self._pace.at_once)
        if not rows:
            return 0
        mine = self._engine.act(pushing.search, rows, seconds=self._pace.call_seconds + self._pace.settle_seconds)
        found = self._executor.find([_push(row) for row in mine])
        for row in mine:
            if row.id in found:
                self._accept(row, found[row.id])
            else:
                self._engine.act(pushing.plan_again, row, seconds=0.0)
        return len(mine)

    # What is outside --------------------------------------------------------------------------------------------------

    def _look(self) -> int:
        moved, after = 0, FIRST_ID
        while True:
            with self._engine.reading() as tx:
                rows = pushing.accepted_pushes(tx, self._stored, after=after, limit=self._pace.at_once)
            if not rows:
                return moved
            moved += self._look_at(rows)
            after = rows[-1].id

    def _look_at(self, rows: Sequence[PushRow]) -> int:
        by_id = {row.id: row for row in rows}
        news: list[Seen] = []
        ended: list[tuple[str, Outcome]] = []
        for sighting in self._executor.look([_push(row) for row in rows]):
            row = by_id.get(sighting.push_id)
            if row is None:
                continue
            if sighting.held_by is not None:
                self._engine.act(pushing.follow, row, sighting.held_by)
                continue
            outcome = self._outcome(row, sighting) if sighting.phase in (Phase.ENDED, Phase.GONE) else None
            if outcome is not None:
                ended.append((row.id, outcome))
            elif _is_news(row, sighting):
                has_begun, is_missed = sighting.phase is Phase.RUNNING, sighting.phase in (Phase.ENDED, Phase.GONE)
                news.append(Seen(row, sighting.phase, sighting.reason, sighting.host, has_begun, is_missed))
        if news:
            self._engine.act(pushing.see, news)
        for some in _batches(ended, 50):
            self._record_ends(some)
        return len(news) + len(ended)

    def _outcome(self, row: PushRow, sighting: Sighting) -> Outcome | None:
        """How a push ended; None if that is to be seen: its outcome may lie on a file system that shows it later."""
        push = _push(row)
        try:
            collected = self._executor.collect(push)
        except BlindError:
            raise
        except Exception as error:  # noqa: BLE001 - one attempt must not keep the others from ending
            logger.warning("what %s left cannot be collected: %s", push.name, error)
            collected = Collected()
        command = self._command(row) if collected.outcome is None else None
        should_have_left_one = sighting.phase is Phase.GONE or (command is None and sighting.exit_code == 0)
        if collected.outcome is None and should_have_left_one and not self._was_missed_for_long(row):
            return None
        return outcome_of(push, sighting, collected, was_cancelled=row.cancels > 0, command=command)

    def _command(self, row: PushRow) -> Command | None:
        """How the end of a command is read; None for a task, which says itself how it ended."""
        with self._engine.reading() as tx:
            found, _ = pushing.jobs_of(tx, [row])
        return command_of(found[0][1]) if found and is_command(found[0][1]) else None

    def _was_missed_for_long(self, row: PushRow) -> bool:
        patience = timedelta(seconds=self._pace.gone_seconds)
        return row.gone_at is not None and self._engine.store.now() >= row.gone_at + patience

    def _record_ends(self, ended: Sequence[tuple[str, Outcome]]) -> None:
        """Record them together; if a damaged run is among them, one by one."""
        try:
            self._record([outcome for _, outcome in ended], [push_id for push_id, _ in ended])
        except PASSING_ERRORS:
            raise
        except Exception as error:
            if len(ended) == 1:
                logger.exception("the end of push %s cannot be recorded", ended[0][0])
                return
            logger.warning("ends cannot be recorded together: %s", error)
            for end in ended:
                self._record_ends([end])

    def _end(self) -> int:
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            rows = pushing.pushes_to_end(tx, self._stored, now, limit=self._pace.at_once)
        if not rows:
            return 0
        mine = self._engine.act(pushing.note_cancel, rows, seconds=self._pace.cancel_seconds)
        for hard in (False, True):
            pushes = [_push(row) for row in mine if (row.cancels > 0) == hard]
            if pushes:
                self._executor.cancel(pushes, hard=hard)
        return len(mine)

    # Chores -----------------------------------------------------------------------------------------------------------

    def _clean(self) -> int:
        before = self._engine.store.now() - timedelta(seconds=self._pace.keep_seconds)
        with self._engine.reading() as tx:
            rows = pushing.unclean_pushes(tx, self._stored, before)
        if rows:
            self._executor.clean([_push(row) for row in rows])
            self._engine.act(pushing.note_clean, self._stored, rows)
        return len(rows)

    def _end_strays(self) -> int:
        found = list(self._executor.strays())
        with self._engine.reading() as tx:
            strays = [
                stray for stray in found if pushing.is_stray(tx, self._stored, stray.push_id, stray.external_id)
            ]  # fmt: skip
        for stray in strays:
            logger.warning("job %s of %s is one too many, and is ended", stray.external_id, self._executor.name)
        if strays:
            nothing = ("", 0, 0)
            self._executor.cancel([Push(stray.push_id, nothing, stray.external_id) for stray in strays], hard=True)
        return len(strays)

    def _with_the_platform(self, do: Callable[[], int]) -> int:
        """Do it, if the platform answers; otherwise nothing is known, and nothing changes."""
        try:
            return do()
        except BlindError as error:
            self._is_blind = True
            if self.blind_since is None:
                self.blind_since = self._monotonic()
                logger.warning("%s does not answer: %s", self._executor.name, error)
            return 0


def _push(row: PushRow) -> Push:
    return Push(row.id, row.attempt, row.external_id or "")


def _is_news(row: PushRow, sighting: Sighting) -> bool:
    is_missed = sighting.phase in (Phase.GONE, Phase.ENDED)
    if is_missed and row.gone_at is not None:
        return False
    is_back = row.gone_at is not None and not is_missed
    said = (sighting.phase.value, sighting.reason, sighting.host or row.host)
    return is_back or said != (row.phase, row.reason, row.host)


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
