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
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from os import getpid
from typing import TypeVar

import msgspec

from segue.attempt.spool import NOT_MINE
from segue.dispatcher.meaning import outcome_of
from segue.dispatcher.protocol import (
    BlindError,
    Cause,
    Collected,
    Phase,
    PolledExecutor,
    Push,
    Sighting,
    Stray,
)
from segue.dispatcher.submitting import Submitting, push_of_row
from segue.dispatcher.work import COMMANDS, Command, command_of
from segue.engine import pushing
from segue.engine.batching import accept_batch, plan_batch_again
from segue.engine.claiming.sending import SendingMemory
from segue.engine.dispatch import Dispatch
from segue.engine.engine import Engine
from segue.engine.executing import Executor
from segue.engine.expand import read_large_plans
from segue.engine.platforms import PlatformState, say_platform
from segue.engine.pushing import PushRow, Seen
from segue.errors import PASSING_ERRORS, SegueError
from segue.model import Outcome
from segue.observing.harmless_log import get_logger

logger = get_logger("segue.dispatcher")

SENT_SECONDS = 300.0  # a step that was sent and has not begun is looked at again after so long
ENDS_AT_ONCE = 200  # ends that are recorded in one transaction
SOON_SECONDS = 0.2  # until the next round, if anything moved
MOST_SENDS = 20  # times in one round that pushes are planned and submitted
MOST_UNREAD = 3  # ended attempts that cannot be collected: then no others are tried in this look
CLEANS_AT_ONCE = 10  # lists of pushes that are cleaned in one round
CHORES_SECONDS = 60.0  # between two searches for strays and what is to be cleaned
FIRST_ID = "00000000-0000-0000-0000-000000000000"
_OVER = (Phase.ENDED, Phase.GONE)
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
            timers=True, window=executor.pace.window, is_one_queue=True, limit=max(500, executor.pace.submits_at_once),
        )  # fmt: skip
        self._submitting = Submitting(engine, executor, self._record, monotonic=monotonic)
        self._memory = SendingMemory(monotonic=monotonic)
        self._followed: set[str] = set()  # the platform's ids of what the last look saw: these are no strays
        self._by = f"{executor.name}@{socket.gethostname()}:{getpid()}"
        self._chores_at = monotonic()
        self._left: list[Outcome] = []  # of steps that need not run; if they are lost, `repair` finds the steps
        self._unread: Collection[str] = ()  # pushes that have ended, and could not be collected in the last look
        self._is_blind = False
        self.blind_since: float | None = None  # since when the platform does not answer
        self._problem: str | None = None
        self._has_answered = False
        self._said: tuple[object, ...] = ()

    def run_once(self, *, looks: bool = True) -> int:
        """One round, with or without a look. Returns how many pushes moved. Raises the errors of the database."""
        self._is_blind = False
        moved = self._withdraw() + self._send()
        moved += self._with_the_platform(self._search)
        if looks:
            ended = self._with_the_platform(self._look)
            moved += ended + (self._send() if ended else 0)  # what follows leaves now
        moved += self._with_the_platform(self._end)
        is_due = self._monotonic() >= self._chores_at
        if is_due:
            self._chores_at = self._monotonic() + CHORES_SECONDS
            moved += self._engine.act(pushing.repair, self._executor.name, seconds=SENT_SECONDS)
            self._with_the_platform(self._clean)
            self._with_the_platform(self._end_strays)
        if self.blind_since is not None and not self._is_blind:
            self.blind_since = None
            logger.info("%s answers again", self._executor.name)
        self._say_platform(is_due=is_due)
        return moved

    def _say_platform(self, *, is_due: bool) -> None:
        """Write how the platform is, for other processes: when that has changed, and once a minute."""
        busy_since = self._submitting.busy_since
        if busy_since is not None and self.blind_since is None:
            self._problem = self._submitting.problem
        if self.blind_since is busy_since is None:
            self._problem = None
        said = (self.blind_since, busy_since, self._problem)
        if said == self._said and not is_due:
            return
        now, pace = self._engine.store.now(), msgspec.json.encode(self._pace).decode()
        state = PlatformState(
            type(self._executor).__name__, pace, now if self._has_answered else None,
            self._ago(self.blind_since, now), self._ago(busy_since, now), self._problem,
        )  # fmt: skip
        self._engine.act(say_platform, self._stored, state)
        self._said, self._has_answered = said, False

    def _ago(self, since: float | None, now: datetime) -> datetime | None:
        return None if since is None else now - timedelta(seconds=self._monotonic() - since)

    def run(self, is_to_stop: threading.Event) -> None:
        """Rounds until it is to stop. An error ends a round, not the dispatcher."""
        wait, look_at = 0.0, 0.0
        while not is_to_stop.wait(wait):
            looks = self._monotonic() >= look_at
            if looks:
                look_at = self._monotonic() + self._pace.look_seconds
            try:
                moved = self.run_once(looks=looks)
                wait = min(max(look_at - self._monotonic(), 0.0), SOON_SECONDS if moved else self._pace.look_seconds)
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
        if outcomes:
            self._engine.count_outside(outcomes, self._dispatch.prefix)
        self._left = list(taken.left)
        return len(taken.sent) + len(taken.left)

    def _withdraw(self) -> int:
        with self._engine.reading() as tx:
            if not pushing.has_held(tx, self._stored):
                return 0
        return self._engine.act(pushing.withdraw, self._stored)

    def _send(self) -> int:
        """Plan pushes for what may be sent, and submit them; again while there is more, if batches are taken."""
        moved = 0
        for _ in range(MOST_SENDS if self._submitting.takes_batches else 1):
            planned = self._record([], [])
            submitted = self._with_the_platform(self._submitting.submit)
            moved += planned + submitted
            if submitted < self._dispatch.limit or self._is_blind:
                break
        return moved

    # Submissions ------------------------------------------------------------------------------------------------------

    def _search(self) -> int:
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            rows = pushing.unsure_pushes(tx, self._stored, now, limit=self._pace.at_once)
        if not rows:
            return 0
        mine = self._engine.act(pushing.search, rows, seconds=self._pace.call_seconds + self._pace.settle_seconds)
        found = self._executor.find([push_of_row(row) for row in mine])
        self._engine.act(accept_batch, [(row, found[row.id]) for row in mine if row.id in found])
        missing = [row for row in mine if row.id not in found]
        self._engine.act(plan_batch_again, [row for row in missing if row.holder is None], seconds=0.0)
        for row in missing:
            if row.holder is not None and not row.is_alive(now):  # it has begun, so it was there
                gone = Sighting(row.id, Phase.GONE)
                ended = outcome_of(push_of_row(row), gone, Collected(), was_cancelled=row.cancels > 0)
                self._record([ended], [row.id])
        return len(mine)

    # What is outside --------------------------------------------------------------------------------------------------

    def _look(self) -> int:
        moved, after, limit = 0, FIRST_ID, self._pace.looks_at_once or self._pace.at_once
        followed, unread = set[str](), dict[str, BlindError]()
        while True:
            with self._engine.reading() as tx:
                rows = pushing.accepted_pushes(tx, self._stored, after=after, limit=limit)
            moved += self._look_at(rows, unread) if rows else 0
            followed.update(row.external_id or "" for row in rows)
            if len(rows) < limit:
                break
            after = rows[-1].id
        self._followed, self._unread = followed, unread.keys()
        for error in unread.values():
            self._note_blind(str(error))
        return moved

    def _look_at(self, rows: Sequence[PushRow], unread: dict[str, BlindError]) -> int:
        """`unread` are those that have ended, and could not be collected: they are as they were, and come last."""
        by_id = {row.id: row for row in rows}
        news: list[Seen] = []
        ended: list[tuple[str, Outcome]] = []
        looked = self._executor.look([push_of_row(row) for row in rows])
        sightings = [found for found in looked if found.push_id in by_id]
        sightings.sort(key=lambda found: found.push_id in self._unread)
        self._has_answered = True
        commands = self._commands([by_id[found.push_id] for found in sightings if found.phase in _OVER])
        now = self._engine.store.now()
        for sighting in sightings:
            row = by_id[sighting.push_id]
            if _is_unseen(sighting) and row.is_alive(now):
                said = f" ({sighting.reason})" if sighting.is_cut_off and sighting.reason else ""
                reason = f"its process reports, and its platform does not show it{said}"
                sighting = Sighting(row.id, Phase.RUNNING, reason)
            if sighting.held_by is not None:
                self._engine.act(pushing.follow, row, sighting.held_by)
                continue
            is_over = sighting.phase in _OVER
            if is_over and len(unread) >= MOST_UNREAD:
                continue
            try:
                outcome = self._outcome(row, sighting, commands.get(row.id)) if is_over else None
            except BlindError as error:
                unread[row.id] = error
                continue
            if outcome is not None:
                ended.append((row.id, outcome))
            elif _is_news(row, sighting):
                has_begun = sighting.phase is Phase.RUNNING
                news.append(Seen(row, sighting.phase, sighting.reason, sighting.host, has_begun, is_over))
        if news:
            self._engine.act(pushing.see, news)
        for some in _batches(ended, ENDS_AT_ONCE):
            self._record_ends(some)
        return len(news) + len(ended)

    def _outcome(self, row: PushRow, sighting: Sighting, command: Command | None) -> Outcome | None:
        """How a push ended; None if that is to be seen: its outcome may lie on a file system that shows it later."""
        push = push_of_row(row)
        try:
            collected = self._executor.collect(push)
        except BlindError:
            raise
        except Exception as error:  # noqa: BLE001 - one attempt must not keep the others from ending
            logger.warning("what %s left cannot be collected: %s", push.name, error)
            collected = Collected()
        may_leave_none = command is not None or sighting.cause in (Cause.CANCELLED, Cause.CONFIG)
        should_have_left_one = sighting.phase is Phase.GONE or (not may_leave_none and sighting.exit_code == 0)
        if collected.outcome is None and should_have_left_one and not self._was_missed_for_long(row):
            return None
        outcome = outcome_of(push, sighting, collected, was_cancelled=row.cancels > 0, command=command)
        if row.cancels == 0:
            return outcome
        with self._engine.reading() as tx:
            return pushing.late_outcome(tx, row, outcome)

    def _commands(self, rows: Sequence[PushRow]) -> dict[str, Command]:
        """How the ends of those pushes are read that run commands; a task says itself how it ended."""
        if not rows:
            return {}
        with self._engine.reading() as tx:
            return {push_id: command_of(args) for push_id, args in pushing.commands_of(tx, rows, COMMANDS).items()}

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
            pushes = [push_of_row(row) for row in mine if (row.cancels > 0) == hard]
            if pushes:
                self._executor.cancel(pushes, hard=hard)
        return len(mine)

    # Chores -----------------------------------------------------------------------------------------------------------

    def _clean(self) -> int:
        before = self._engine.store.now() - timedelta(seconds=self._pace.keep_seconds)
        cleaned = 0
        for _ in range(CLEANS_AT_ONCE):
            with self._engine.reading() as tx:
                rows = pushing.unclean_pushes(tx, self._stored, before)
            if not rows:
                break
            self._executor.clean([push_of_row(row) for row in rows])
            self._engine.act(pushing.note_clean, self._stored, rows)
            cleaned += len(rows)
        return cleaned

    def _end_strays(self) -> int:
        found = [stray for stray in self._executor.strays() if stray.external_id not in self._followed]
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            strays = [
                stray
                for stray in found
                if pushing.is_stray(tx, self._stored, stray.push_id, stray.external_id, now, place=stray.place)
            ]  # fmt: skip
        for stray in strays:
            logger.warning("job %s of %s is one too many, and is ended", stray.external_id, self._executor.name)
        if strays:
            self._executor.cancel([_push_of_stray(stray) for stray in strays], hard=True)
        return len(strays)

    def _with_the_platform(self, do: Callable[[], int]) -> int:
        """Do it, if the platform answers; otherwise nothing is known, and nothing changes."""
        try:
            return do()
        except BlindError as error:
            self._note_blind(str(error))
        except SegueError:  # the database is away
            raise
        except Exception as error:  # must not keep the other calls from being made
            self._note_blind(f"its executor, or Segue, has a bug: {error!r}")
            logger.exception("a call of %s failed", self._executor.name)
        return 0

    def _note_blind(self, why: str) -> None:
        self._is_blind, self._problem = True, why
        if self.blind_since is None:
            self.blind_since = self._monotonic()
            logger.warning("%s does not answer: %s", self._executor.name, why)


def _push_of_stray(stray: Stray) -> Push:
    batch = None if stray.place is None else stray.push_id
    return Push(stray.push_id, ("", 0, 0), stray.external_id, batch, stray.place)


def _is_unseen(sighting: Sighting) -> bool:
    """Whether the platform says nothing of the process that runs the attempt."""
    is_another = sighting.phase is Phase.ENDED and sighting.exit_code == NOT_MINE
    return sighting.held_by is None and (sighting.phase is Phase.GONE or is_another or sighting.is_cut_off)


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
