"""A worker: claims steps, has its pool run them, reports. One thread, in turns.

Promises: what a task returned is kept until the database has it, however long that is away; nothing is claimed that
cannot be run; a warm stop finishes what runs and hands back the rest; a worker that was declared lost does not go on as
before.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass

import msgspec

from segue.engine.engine import Engine
from segue.engine.identity import WorkerIdentity
from segue.engine.ids import new_id
from segue.engine.turn import TurnRequest, TurnResult
from segue.errors import PASSING_ERRORS, SchemaError, SegueError, StoreError, StoreUnavailableError
from segue.model import ErrorInfo, Outcome, Progress, Verdict
from segue.plan.graph import LimitTerms
from segue.version import __version__
from segue.worker.pace import Pace
from segue.worker.pool import Attempt, News, Pool
from segue.worker.pool.endings import PROCESS_DIED
from segue.worker.wakeups import Wakeups

FRUITLESS_TURNS = 5
"""So many turns may be refused for no fault of an outcome before the worker gives up: it would never get better."""

LOCK_SECONDS = 5.0
"""The longest that a turn waits for SQLite's write lock, before it looks after its attempts again: one of them, a
transactional task, may be what holds the lock, and have to be ended."""

logger = logging.getLogger("segue.worker")


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker behaves. Times are in seconds."""

    queues: tuple[str, ...] = ("default",)
    concurrency: int = 2
    pool: str = "process"
    lease_seconds: float = 30.0
    grace_seconds: float = 30.0  # for what runs when it is told to stop
    patience_seconds: float = 30.0  # at its start, for a database that cannot be reached
    run_id: str | None = None  # work this run only, and stop when it is final
    burst: bool = False  # stop when there is nothing to do


class Worker:
    """One worker process, or a worker within a process.

    Example::

        worker = Worker(engine, pool, tasks=["app.extract"], options=WorkerOptions(concurrency=4))
        worker.run()  # until stop() is called
    """

    def __init__(
        self, engine: Engine, pool: Pool, *, tasks: Sequence[str], options: WorkerOptions,
        limits: Sequence[LimitTerms] = (),
    ) -> None:  # fmt: skip
        self._engine = engine
        self._pool = pool
        self._options = options
        self._limits = limits
        self._identity = WorkerIdentity(
            id="", name=f"{socket.gethostname()}:{os.getpid()}", queues=options.queues, tasks=tuple(tasks),
            lease_seconds=options.lease_seconds, run_id=options.run_id,
        )  # fmt: skip
        self._wakeups = Wakeups(engine.store)
        self._pace = Pace(time.monotonic, lease_seconds=options.lease_seconds)
        self._outcomes: list[Outcome] = []
        self._recorded: list[Outcome] = []
        self._progress: dict[tuple[str, int], Progress] = {}
        self._stop_asked = 0
        self._draining = False
        self._done = False
        self._fruitless = 0  # turns in a row that were refused though they recorded nothing
        self._disowned: set[Attempt] = set()  # attempts of a former life that are being ended
        self._unsure = False  # a turn broke off: it may have claimed steps that this worker never heard of

    @property
    def id(self) -> str:
        """The worker's id in the database; a new one for every life."""
        return self._identity.id

    def run(self, *, on_ready: Callable[[], None] | None = None) -> None:
        """Work until `stop` is called, or until what `options` says is done. Raises when it can never work.

        `on_ready` is called once, when it is registered and its pool has started.
        """
        self._register_patiently()
        try:
            self._pool.start()
            if on_ready is not None:
                on_ready()
            self._wakeups.open()
            with self._engine.store.patience(LOCK_SECONDS) if self._options.pool != "inline" else nullcontext():
                cold = self._loop()
            if cold is not None:
                self._leave(cold=cold)
        finally:
            self._wakeups.close()
            self._pool.kill()
            with suppress(StoreError):
                self._engine.unregister(self._identity)

    def stop(self) -> None:
        """Ask it to end: warm at the first call, cold at the second. Safe in signal handlers and other threads."""
        self._stop_asked += 1
        self._pool.wake()

    # The loop -----------------------------------------------------------------------------------------------------

    def _loop(self) -> bool | None:
        """Turns and waits. Returns when it was stopped, and whether cold; None when all is done."""
        deadline: float | None = None
        while not self._done:
            if self._stop_asked and deadline is None:
                deadline = time.monotonic() + self._options.grace_seconds
                self._draining = True
                self._pool.recall()
                logger.info("stopping: waiting up to %g s for what runs", self._options.grace_seconds)
            if deadline is not None and self._is_time_to_leave(deadline):
                return self._stop_asked > 1
            want = 0 if self._draining else self._pool.capacity
            if self._pace.is_turn_due(outcomes=bool(self._outcomes), progress=bool(self._progress), want=want):
                self._turn(want)
            if (deadline is None or not self._is_time_to_leave(deadline)) and not self._done:
                self._wait(want)
        return None

    def _is_time_to_leave(self, deadline: float) -> bool:
        if self._stop_asked > 1 or time.monotonic() >= deadline:
            return True
        return not self._pool.in_flight and not self._outcomes

    def _wait(self, want: int) -> None:
        timeout = self._pace.wait_seconds(want=want, has_outcomes=bool(self._outcomes))
        wakeups = self._wakeups
        fds: tuple[int, ...] = ()
        if want:  # who can take nothing need not hear of it, nor be woken by it again and again
            fds = wakeups.fds
            if wakeups.poll_seconds is not None:
                timeout = min(timeout, wakeups.poll_seconds)
        self._hear(self._pool.collect(timeout, fds))
        if want and wakeups.woken():
            self._pace.hint()

    def _hear(self, news: Sequence[News]) -> None:
        for item in news:
            if isinstance(item, Progress):
                self._progress[item.run_id, item.step] = item
            else:
                attempt = (item.run_id, item.step, item.attempt)
                self._progress.pop((item.run_id, item.step), None)
                if item.verdict == Verdict.RECORDED:
                    self._disowned.discard(attempt)
                    self._recorded.append(item)
                    self._pace.hint()  # what it released may be waiting
                    continue
                if attempt in self._disowned:
                    self._disowned.remove(attempt)
                    if item.verdict == Verdict.CANCELLED:  # by this worker, not by a person: somebody must take it on
                        item = Outcome(*attempt, Verdict.RELEASED, output=item.output)
                elif self._stop_asked and item.error is not None and item.error.type == PROCESS_DIED:
                    # Whoever stopped this worker may have signalled its whole process group: no fault of the task's.
                    item = Outcome(*attempt, Verdict.RELEASED, output=item.output)
                self._outcomes.append(item)

    # Turns --------------------------------------------------------------------------------------------------------

    def _turn(self, want: int) -> None:
        pace = self._pace
        request = TurnRequest(
            outcomes=self._outcomes,
            recorded=self._recorded,
            progress=list(self._progress.values()),
            want=want,
            heartbeat=("stopping" if self._draining else "running") if pace.heartbeat_due(want=want) else None,
            sleeping=pace.is_asleep,
            timers=pace.timers_due() or self._options.burst,  # it must know that there are none before it leaves
            cancels=pace.cancels_due(bool(self._pool.in_flight)),
        )
        try:
            if self._unsure:
                self._reconcile()
            result = self._engine.turn(self._identity, request)
        except SchemaError:
            raise
        except PASSING_ERRORS as error:
            self._back_off(error)
            return
        except SegueError as error:
            self._isolate(error)
            return
        if result.lease_lost:
            self._begin_anew()
            return
        self._outcomes = result.outcomes
        self._recorded, self._progress = [], {}
        self._fruitless = 0
        self._after_turn(request, result)

    def _after_turn(self, request: TurnRequest, result: TurnResult) -> None:
        self._pace.after_turn(request, result)
        if self._wakeups.open():
            self._pace.hint()
        if result.refused:
            logger.warning("%d outcomes came too late and were refused", result.refused)
        if result.jobs:
            self._pool.submit(result.jobs)
        for run_id, step, _ in result.cancels:
            self._pool.cancel(run_id, step)
        if self._is_done(request, result):
            self._done = True
        elif self._pace.rescue_due():
            self._rescue()

    def _is_done(self, request: TurnRequest, result: TurnResult) -> bool:
        run_id = self._options.run_id
        if run_id is None:
            return self._options.burst and self._is_idle(request, result)
        if run_id in result.ended:
            return True
        # Somebody else may have ended the run, or it had ended before this worker began.
        if result.jobs or self._pool.in_flight:
            return False
        try:
            return self._engine.is_final(run_id)
        except StoreError:
            return False  # it is asked again after the next turn

    def _is_idle(self, request: TurnRequest, result: TurnResult) -> bool:
        nothing_runs = not self._pool.in_flight and not request.outcomes and not self._outcomes
        no_timer = request.timers and result.timer_seconds is None  # a turn that did not look does not know
        no_timer = no_timer and result.look_seconds is None
        return request.want > 0 and nothing_runs and not result.jobs and not result.again and no_timer

    def _rescue(self) -> None:
        try:
            rescued = self._engine.rescue()
        except StoreError as error:
            logger.warning("looking for lost workers failed, will try again: %s", error)
            return
        if rescued:
            logger.warning("took %d steps away from workers that were lost", rescued)
            self._pace.hint()

    # When things go wrong -----------------------------------------------------------------------------------------

    def _back_off(self, error: StoreError) -> None:
        seconds = self._pace.back_off()
        self._unsure = True
        logger.warning("%s Keeping %d outcomes; next try in %.1f s.", error, len(self._outcomes), seconds)

    def _reconcile(self) -> None:
        """After a broken turn: give back what the database says this worker runs and it does not."""
        known = {(o.run_id, o.step, o.attempt) for o in self._outcomes} | set(self._pool.in_flight)
        released = self._engine.release_unknown(self._identity.id, known)
        if released:
            logger.warning("handed back %d steps whose claim was never heard of", released)
        self._unsure = False

    def _isolate(self, error: SegueError) -> None:
        """A turn was refused for what it says, not for want of a database: find the outcome that cannot be written."""
        if not self._outcomes:
            self._fruitless += 1
            if self._fruitless > FRUITLESS_TURNS:
                raise error
            self._back_off(StoreError(f"A turn failed: {error}"))
            return
        outcomes, self._outcomes = self._outcomes, []
        for outcome in outcomes:
            for attempt in (outcome, _unwritable(outcome, error)):
                try:
                    self._engine.turn(self._identity, TurnRequest(outcomes=[attempt]))
                    break
                except PASSING_ERRORS:
                    self._outcomes.append(attempt)
                    break
                except SegueError as refused:
                    logger.error("an outcome cannot be written: %s", refused)
                    error = refused
            else:  # neither can, so the fault may not be the outcome's: it is kept
                self._outcomes.append(outcome)
        if self._outcomes:
            self._back_off(StoreError(f"A turn failed: {error}"))

    def _register(self) -> None:
        self._identity = msgspec.structs.replace(self._identity, id=new_id(self._engine.store.now()))
        self._engine.register(
            self._identity, pool=self._options.pool, concurrency=self._options.concurrency, version=__version__,
            limits=self._limits,
        )  # fmt: skip

    def _register_patiently(self) -> None:
        """Wait for a database that is not up yet, as after a power cut when everything starts at once."""
        deadline = time.monotonic() + self._options.patience_seconds
        while True:
            try:
                self._register()
                return
            except StoreUnavailableError as error:
                if self._stop_asked or time.monotonic() >= deadline:
                    raise
                logger.warning("%s Trying again, for up to %.0f s more.", error, deadline - time.monotonic())
            time.sleep(1)

    def _begin_anew(self) -> None:
        """This worker was declared lost: its steps belong to others, whatever it still runs. Go on under a new name."""
        logger.warning("the lease ran out (was this process stopped?): ending what it ran, going on as a new worker")
        self._disowned.update(self._pool.in_flight)
        for run_id, step, _ in self._pool.in_flight:
            self._pool.cancel(run_id, step)
        try:
            self._register()
        except StoreError as error:
            self._back_off(error)

    def _leave(self, *, cold: bool) -> None:
        """Record what there is, hand back what has not ended, and go."""
        if cold:
            left = self._pool.in_flight
            self._pool.kill()
            self._outcomes += [Outcome(*attempt, Verdict.RELEASED) for attempt in left]
        else:
            self._outcomes += [outcome for outcome in self._pool.stop(0) if outcome.verdict != Verdict.RECORDED]
        for tries_left in range(5, -1, -1):
            if not self._outcomes:
                return
            try:
                self._engine.turn(self._identity, TurnRequest(outcomes=self._outcomes))
                return
            except StoreError as error:
                if not tries_left:
                    logger.error(
                        "%d outcomes are not recorded, their steps will run again: %s", len(self._outcomes), error
                    )
                    return
                time.sleep(0.2 * (6 - tries_left))


def _unwritable(outcome: Outcome, error: SegueError) -> Outcome:
    info = ErrorInfo(type(error).__name__, f"its outcome ({outcome.verdict}) could not be recorded: {error}")
    return Outcome(outcome.run_id, outcome.step, outcome.attempt, Verdict.FAILED, error=info, retryable=False)
