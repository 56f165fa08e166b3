"""A worker: claims steps, runs them in its pool, reports. One thread takes turns; another drives the pool meanwhile.

Promises: the outcome of a task is kept until the database has it, however long the database is away; the worker claims
only steps that it can run; a warm stop finishes running steps and hands back the rest; a worker that was declared lost
does not continue under its old identity. An error in a turn that one attempt or one row causes is charged to that
attempt: it never ends the worker. The worker ends by itself only if the cause cannot improve in this process (an
outdated schema, a broken pool).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import msgspec

from segue.attempt.outcomes import was_killed
from segue.engine.backoff import longer_wait
from segue.engine.engine import Engine
from segue.engine.stored import storable
from segue.engine.turn_request import TurnRequest, TurnResult
from segue.errors import PASSING_ERRORS, SchemaError, StoreBusyError, StoreError, StoreUnavailableError, WorkerError
from segue.logs.attempts import AttemptLog
from segue.loop.pace import Pace
from segue.loop.vitals import Pulse
from segue.loop.wakeups import Wakeups
from segue.model import Attempt, ErrorInfo, Job, Outcome, Progress, Verdict
from segue.observing.harmless_log import get_logger
from segue.observing.once import Once
from segue.plan.code_version import CodeVersion
from segue.plan.graph import LimitTerms
from segue.worker.aside import Aside
from segue.worker.attention import Attention
from segue.worker.caretaker import Caretaker
from segue.worker.idling import Idling, complaints
from segue.worker.intake import Intake
from segue.worker.keeper import LeaseKeeper
from segue.worker.options import WorkerOptions
from segue.worker.pool import News, Pool
from segue.worker.registration import Registration
from segue.worker.sifting import Sifting

PASSING_TURNS = 2
"""After this many turns in a row that the database could not do, outcomes are tried separately from everything else."""

BROKEN_COLLECTS = 100
"""The pool may raise this often in a row when it is asked for news; then the worker ends with the error."""


GATHER_SECONDS, FEWEST_WAITING = 0.001, 8
"""So long outcomes gather while so many jobs for each child wait for their turn."""

LONGEST_CLAIM_WAIT_SECONDS = 5.0
DRAIN_SECONDS, LEAVE_SECONDS = 1.0, 3.0
LOCK_SECONDS = 5.0
"""The longest that a turn waits for SQLite's write lock before the worker attends to its attempts again: one of them, a
transactional task, may hold the lock, and may have to be ended."""

logger = get_logger("segue.worker")


class Worker:
    """One worker process, or a worker within a process.

    Example::

        worker = Worker(engine, pool, tasks=["app.extract"], options=WorkerOptions(concurrency=4))
        worker.run()  # until stop() is called
    """

    def __init__(
        self, engine: Engine, pool: Pool, *, tasks: Sequence[str], options: WorkerOptions,
        limits: Sequence[LimitTerms] = (), code: CodeVersion | None = None,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._pool = pool
        self._options = options
        self._caretaker = Caretaker(pool, grace_seconds=options.grace_seconds, has_thread=options.pool != "inline")
        self._registration = Registration(
            engine, options, tasks=tasks, limits=limits, code=code, away=self._caretaker.away
        )
        self._wakeups = Wakeups(engine.store)
        self._idling = Idling(options.max_idle_seconds, time.monotonic)
        self._pace = Pace(time.monotonic, lease_seconds=options.lease_seconds)
        self.vitals = Pulse(
            "the worker",
            stale_seconds=options.lease_seconds,
            others=lambda: complaints(self._caretaker, self._intake.took_at),
        )
        self._attempts = AttemptLog()
        self._intake = Intake(pool)
        self._attention = Attention(pool, time.monotonic)
        self._outcomes: list[Outcome] = []
        self._recorded: list[Outcome] = []
        self._progress: dict[tuple[str, int], Progress] = {}
        self._done = False
        self._once = Once(monotonic=time.monotonic)
        self._aside = Aside(time.monotonic)  # outcomes that blocked a turn
        self._sifting = Sifting(engine, self._aside, self._once)
        self._stopped_turns = 0  # turns in a row that the database could not do
        self._broken_collects = 0
        self._drain_at = 0.0
        self._claim_at = 0.0  # no claims before this time, because they fail
        self._claim_wait_seconds = 0.0
        self._is_lost = False
        self._disowned: set[Attempt] = set()  # attempts of a former life that are being ended
        self._unsure = False  # a turn failed half-way: it may have claimed steps that this worker does not know of

    @property
    def id(self) -> str:
        """The worker's id in the database; each life has a new one."""
        return self._registration.identity.id

    @property
    def busy(self) -> int:
        """How many attempts are in its pool now."""
        return len(self._pool.in_flight)

    def run(
        self, *, on_ready: Callable[[], None] | None = None, on_stuck: Callable[[], None] | None = None
    ) -> None:  # fmt: skip
        """Work until `stop` is called, or until the goal in `options` is reached. Raises if it can never work.

        `on_ready` is called once, after it is registered and its pool has started. `on_stuck` is called in another
        thread if the worker was asked twice to stop and the database does not answer: the process may then exit.
        """
        self._caretaker.on_stuck = on_stuck
        with self._caretaker:
            self._registration.begin_patiently(lambda: self._caretaker.is_asked)
            try:
                self._pool.start()
                self._caretaker.pool_has_started()
                if on_ready is not None:
                    on_ready()
                with self._caretaker.away:
                    self._wakeups.open()
                with self._lasting():
                    self._loop()
                if not self._done:
                    self._leave()
            finally:
                self._wakeups.close()
                self._pool.kill()
                self._registration.end()

    def stop(self, *, at_once: bool = False) -> None:
        """Ask it to end: a warm stop at the first call, a cold one at the second. Safe in signal handlers."""
        self._caretaker.ask_to_stop(at_once=at_once)

    def _lasting(self) -> AbstractContextManager[object]:
        """The context of the loop: with the inline pool, the loop takes no turns while a task runs."""
        if self._options.pool == "inline":
            return LeaseKeeper(self._engine, lambda: self._registration.identity)
        return self._engine.store.patience(LOCK_SECONDS)

    # The loop -----------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        """Take turns and wait. Returns when all is done, or after a request to stop, once nothing is left."""
        caretaker = self._caretaker
        while not self._is_to_leave():
            self.vitals.came_round()
            want = 0 if caretaker.is_stopping else self._intake.room(from_=self._claim_at)
            if self._pace.is_turn_due(outcomes=self._has_outcomes(), progress=bool(self._progress), want=want):
                if self._outcomes and not caretaker.is_stopping:
                    want = self._gather(want)
                self._turn(want)
                if caretaker.has_news:
                    self._hear(caretaker.take_news())
            if not self._is_to_leave():
                self._wait(want)

    def _gather(self, want: int) -> int:
        """Let outcomes gather for a moment while the pool has more before it than behind it; returns its capacity then.

        A turn for many costs less than several for few, and no child is without a job meanwhile.
        """
        waiting = len(self._pool.in_flight) - self._options.concurrency  # jobs that have not begun
        if waiting <= max(len(self._outcomes), FEWEST_WAITING * self._options.concurrency):
            return want
        time.sleep(GATHER_SECONDS)
        self._hear(self._collect(0.0, ()))
        return self._intake.room(from_=self._claim_at)

    def _is_to_leave(self) -> bool:
        is_busy = bool(self._pool.in_flight or self._outcomes or self._aside or self._unsure)
        if self._done or self._idling.is_over(is_busy=is_busy):
            return True
        self._caretaker.attend()
        if not self._caretaker.is_stopping:
            return False
        return self._caretaker.has_ended or not (self._pool.in_flight or self._outcomes or self._aside)

    def _has_outcomes(self) -> bool:
        """Whether there are outcomes to report now."""
        return bool(self._outcomes) or (bool(self._aside) and self._aside.wait_seconds == 0.0)

    def _wait(self, want: int) -> None:
        timeout = self._pace.wait_seconds(want=want, has_outcomes=self._has_outcomes())
        if self._aside:
            timeout = min(timeout, self._aside.wait_seconds or 0.0) if not self._pace.is_blocked else timeout
        wakeups = self._wakeups
        fds: tuple[int, ...] = ()
        if want:  # skip the wake-ups while there is no free place: each would wake the worker for nothing
            fds = wakeups.fds
            if wakeups.poll_seconds is not None:
                timeout = min(timeout, wakeups.poll_seconds)
        self._hear(self._collect(timeout, fds))
        now = time.monotonic()
        # Read notifications even without a free place: unread ones would in the end block the server's session.
        if want or now >= self._drain_at:
            self._drain_at = now + DRAIN_SECONDS
            if wakeups.woken():
                self._pace.hint()

    def _collect(self, timeout: float, fds: tuple[int, ...]) -> Sequence[News]:
        try:
            news = self._pool.collect(timeout, fds)
        except Exception as error:
            self._broken_collects += 1
            if self._broken_collects >= BROKEN_COLLECTS:
                raise WorkerError(f"The pool can no longer report the outcomes of its attempts: {error}") from error
            if self._once.is_news(("collect", str(error))):
                logger.exception("the pool could not report the outcomes of its attempts, asking again")
            time.sleep(0.05)
            return []
        self._broken_collects = 0
        return news

    def _hear(self, news: Sequence[News]) -> None:
        self._attempts.ended(news)
        for item in news:
            if isinstance(item, Progress):
                self._progress[item.run_id, item.step] = item
            else:
                attempt = (item.run_id, item.step, item.attempt)
                if item.verdict == Verdict.RECORDED:
                    self._disowned.discard(attempt)
                    self._recorded.append(item)
                    self._pace.hint()  # the steps that it released may be ready
                    continue
                if attempt in self._disowned:
                    self._disowned.remove(attempt)
                    if item.verdict == Verdict.CANCELLED:  # by this worker, not by a person: another worker must run it
                        item = Outcome(*attempt, Verdict.RELEASED, output=item.output)
                elif self._caretaker.is_asked and was_killed(item):
                    # The signal that stopped this worker may have gone to its whole process group: not the task's
                    # fault.
                    item = Outcome(*attempt, Verdict.RELEASED, output=item.output)
                self._outcomes.append(item)

    # Turns ------------------------------------------------------------------------------------------------------------

    def _turn(self, want: int) -> None:
        pace = self._pace
        if self._aside and self._outcomes:
            self._outcomes = self._aside.join(self._outcomes)
        status = "stopping" if self._caretaker.is_stopping else "running"
        request = TurnRequest(
            outcomes=self._outcomes,
            recorded=self._recorded,
            progress=list(self._progress.values()),
            printed=self._attention.printed(),
            want=want,
            heartbeat=status if pace.heartbeat_due(want=want) else None,
            sleeping=pace.is_asleep,
            timers=pace.timers_due() or self._options.burst,  # a burst ends only if there are no timers
            cancels=pace.cancels_due(bool(self._pool.in_flight)),
            comes_back=self._comes_back,
        )
        if self._is_lost and not self._begin_new_life():
            return
        try:
            if self._unsure:
                self._reconcile()
            with self._caretaker.away:
                result = self._engine.turn(self._registration.identity, request)
        except SchemaError:
            raise
        except PASSING_ERRORS as error:
            self._stopped(error)
        except Exception as error:  # noqa: BLE001 - it is charged to the outcome or step that caused it
            self._was_in_the_way(request, error)
        else:
            self._accept(request, result)

    @property
    def _comes_back(self) -> bool:
        """Whether another turn follows soon, whatever the tasks do: in the inline pool they run in between."""
        return self._options.pool != "inline" and not self._caretaker.is_stopping

    def _accept(self, request: TurnRequest, result: TurnResult) -> None:
        if result.lease_lost:
            self._is_lost = True
            self._begin_new_life()
            return
        self._outcomes = result.outcomes
        self._recorded, self._progress = [], {}
        self._stopped_turns = 0
        if request.want:
            self._claim_wait_seconds = 0.0
        self._after_turn(request, result)
        if self._aside:
            self._say_aside()

    def _after_turn(self, request: TurnRequest, result: TurnResult) -> None:
        self._pace.after_turn(request, result)
        self.vitals.was_answered()
        if not self._wakeups.is_open:
            with self._caretaker.away:
                if self._wakeups.open():
                    self._pace.hint()
        if result.refused:
            logger.warning("%d outcomes came too late and were refused", result.refused)
        if result.jobs:
            self._submit(result.jobs)
        self._attention.heed(request, result)
        if self._is_done(request, result):
            self._done = True
        elif self._pace.rescue_due():
            self._rescue()

    def _submit(self, jobs: list[Job]) -> None:
        """Submit these to the pool. A job that the pool cannot take has failed; the others run."""
        if self._caretaker.is_stopping:  # it was asked to stop while they were being claimed
            self._outcomes += [Outcome(job.run_id, job.step, job.attempt, Verdict.RELEASED) for job in jobs]
            return
        self._attempts.began(jobs)
        try:
            self._pool.submit(jobs)
        except Exception as error:
            taken = set(self._pool.in_flight)
            left = [job for job in jobs if (job.run_id, job.step, job.attempt) not in taken]
            if len(jobs) > 1:
                for job in left:
                    self._submit([job])
                return
            for job in left:
                logger.exception("step %s of run %s cannot be submitted to the pool", job.name, job.run_id)
                info = ErrorInfo(type(error).__name__, storable(f"it could not be submitted to the pool: {error}"))
                self._hear([Outcome(job.run_id, job.step, job.attempt, Verdict.FAILED, error=info)])

    def _is_done(self, request: TurnRequest, result: TurnResult) -> bool:
        run_id = self._options.run_id
        if run_id is None:
            return self._options.burst and self._is_idle(request, result)
        if run_id in result.ended:
            return True
        # Another process may have ended the run, or it had ended before this worker began.
        if result.jobs or self._pool.in_flight:
            return False
        try:
            with self._caretaker.away:
                return self._engine.is_final(run_id)
        except StoreError:
            return False  # it is asked again after the next turn

    def _is_idle(self, request: TurnRequest, result: TurnResult) -> bool:
        nothing_runs = not (self._pool.in_flight or request.outcomes or self._outcomes or self._aside)
        nothing_runs = nothing_runs and not self._caretaker.has_news
        no_timer = request.timers and result.timer_seconds is None  # a turn that did not check the timers cannot know
        no_timer = (no_timer and result.look_seconds is None) or not self._options.awaits_timers
        return request.want > 0 and nothing_runs and not result.jobs and not result.again and no_timer

    def _rescue(self) -> None:
        try:
            with self._caretaker.away:
                rescued = self._engine.rescue()
        except Exception as error:  # noqa: BLE001 - the rows of other workers must not end this one
            if self._once.is_news(("rescue", str(error))):
                logger.warning("looking for lost workers failed, trying again: %s", error)
            return
        if rescued:
            logger.warning("took %d steps from workers that were lost", rescued)
            self._pace.hint()

    # When things go wrong -----------------------------------------------------------------------------------------

    def _stopped(self, error: StoreError) -> None:
        """The database could not do a turn now. If outcomes wait for a lock, everything else can continue."""
        self._stopped_turns += 1
        is_away = isinstance(error, StoreUnavailableError)
        is_locked = isinstance(error, StoreBusyError)
        if self._outcomes and not is_away and (is_locked or self._stopped_turns >= PASSING_TURNS):
            self._aside.put(self._outcomes)
            self._outcomes = []
        self._back_off(error)

    def _back_off(self, error: Exception) -> None:
        seconds = self._pace.back_off()
        self._unsure = True
        kept = len(self._outcomes) + len(self._aside.outcomes)
        logger.warning("%s Keeping %d outcomes; next try in %.1f s.", error, kept, seconds)

    def _reconcile(self) -> None:
        """After a failed turn: give back steps that the database assigns to this worker and that it does not run."""
        known = {(o.run_id, o.step, o.attempt) for o in (*self._outcomes, *self._aside.outcomes)}
        known |= set(self._pool.in_flight)
        with self._caretaker.away:
            released, is_all = self._engine.release_unknown(self._registration.identity.id, known)
        if released:
            logger.warning("handed back %d steps that were claimed in a failed turn", released)
        self._unsure = not is_all

    def _was_in_the_way(self, request: TurnRequest, error: Exception) -> None:
        """The database refused a turn because of its content. Outcomes and progress are tried separately. If there were
        none, the claim caused it: then the claim is committed first, and examined row by row.
        """
        if self._once.is_news(("turn", type(error), str(error)[:200])):
            logger.error("a turn was refused, looking for the cause: %s", error, exc_info=error)
        self._unsure = True
        if request.outcomes or request.progress:
            self._aside.put(self._outcomes)
            self._outcomes, self._progress = [], {}
            with self._caretaker.away:
                self._sifting.say_progress(self._registration.identity, request.progress)
            self._pace.hint()
            return
        apart = msgspec.structs.replace(request, apart=True, timers=False, printed=())
        try:
            with self._caretaker.away:
                result = self._engine.turn(self._registration.identity, apart)
        except SchemaError:
            raise
        except PASSING_ERRORS as again:
            self._stopped(again)
        except Exception as again:  # noqa: BLE001 - the worker backs off and tries again
            if request.want == 0:
                self._back_off(again)
                return
            # The claim is the cause: until it succeeds, running steps are looked after and recorded, and the lease is
            # renewed.
            self._claim_wait_seconds = longer_wait(
                self._claim_wait_seconds, first_seconds=0.1, longest_seconds=LONGEST_CLAIM_WAIT_SECONDS
            )
            self._claim_at = time.monotonic() + self._claim_wait_seconds
        else:
            self._accept(apart, result)

    def _say_aside(self) -> None:
        """Try one group of the outcomes that blocked a turn."""
        try:
            with self._caretaker.away:
                some_went = self._sifting.say(self._registration.identity)
            if some_went:
                self._pace.hint()  # the steps that were released may be ready
        except StoreUnavailableError as error:
            self._back_off(error)

    def _begin_new_life(self) -> bool:
        """This worker was declared lost: all its steps now belong to others. Continue under a new identity."""
        if self._once.is_news(("lost", self._registration.identity.id)):
            logger.warning(
                "the lease expired (was this process stopped?): ending running steps, continuing as a new worker"
            )
            self._disowned.update(self._pool.in_flight)
            for run_id, step, _ in self._pool.in_flight:
                self._pool.cancel(run_id, step)
        try:
            self._registration.begin_again()
        except SchemaError:
            raise
        except Exception as error:  # noqa: BLE001 - repeated until the database accepts it
            self._back_off(error)
            return False
        self._is_lost = False
        return True

    def _leave(self) -> None:
        """Record the remaining outcomes, hand back unfinished steps, and unregister."""
        self._caretaker.end_pool()
        self._hear(self._caretaker.take_news())
        try:
            if self._outcomes:
                with self._caretaker.away:
                    self._engine.turn(self._registration.identity, TurnRequest(outcomes=self._outcomes))
        except Exception as error:  # noqa: BLE001 - they are tried separately, for a moment
            logger.warning("recording the last outcomes failed, trying them separately: %s", error)
            self._aside.put(self._outcomes)
        deadline = time.monotonic() + LEAVE_SECONDS
        while self._aside and time.monotonic() < deadline:
            wait_seconds = self._aside.wait_seconds
            if wait_seconds:
                time.sleep(min(wait_seconds, LEAVE_SECONDS))
            self._say_aside()
        if self._aside:
            logger.error("%d outcomes are not recorded; their steps will run again", len(self._aside.outcomes))
