"""Runs one attempt that was pushed to an executor, in a process that reports by itself: `segue run-step --push`.

It speaks with the database in short transactions on connections of their own: at its beginning, with each beat, and at
its end. Between them it holds none, because there may be thousands of such processes.

Promises: of several processes with one push only the first runs the task. How the attempt ended is tried to be reported
until the patience is over, however long the database is away. A SIGTERM that Segue did not cause is reported as a loss.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar

from segue.attempt.outcomes import cancelled, released
from segue.attempt.spool import NOT_MINE, NOT_REPORTED
from segue.engine.backoff import longer_wait
from segue.engine.engine import Engine
from segue.engine.expand import read_large_plans
from segue.engine.ids import chance
from segue.engine.pushed_reports import BegunPush, beat_push, begin_push, report_push
from segue.errors import PASSING_ERRORS
from segue.logs.attempts import AttemptLog
from segue.model import ErrorInfo, Job, Outcome, Progress, Verdict
from segue.observing.harmless_log import get_logger
from segue.worker.launch import process_pool
from segue.worker.live_output import LiveOutput
from segue.worker.pool import Pool
from segue.worker.spooled import GRACE_SECONDS, as_lost

logger = get_logger("segue.worker")

PATIENCE_SECONDS = 600.0
_LOOK_SECONDS = 1.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 15.0
_GOOD = (Verdict.SUCCEEDED, Verdict.SKIPPED, Verdict.EXPANDED, Verdict.RECORDED)
T = TypeVar("T")


class HasEngine(Protocol):
    """What has an engine, such as `Segue`."""

    @property
    def engine(self) -> Engine:
        """The engine."""
        ...


OpenSegue = Callable[[], AbstractContextManager[HasEngine]]


class How(NamedTuple):
    """How a pushed attempt is run."""

    modules: Sequence[str] = ()
    patience_seconds: float = PATIENCE_SECONDS
    grace_seconds: float = GRACE_SECONDS
    exits_like_task: bool = False


def run_pushed(push_id: str, open_segue: OpenSegue, how: How) -> int:
    """Run the attempt of this push, and return the exit code.

    0 its end is recorded; `NOT_MINE` it is another's, or over; `NOT_REPORTED` the database could not be reached for
    too long. With `exits_like_task`, a recorded end other than success is 1. Raises PushNotFoundError.
    """
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    holder = f"{uuid.uuid4().hex} {socket.gethostname()}:{os.getpid()}"
    reach = _Reach(open_segue, how.patience_seconds)
    try:
        begun = reach.act(lambda engine: engine.act(begin_push, push_id, holder=holder, host=socket.gethostname()))
    except PASSING_ERRORS as error:
        _say(f"the attempt was not begun: {error}")
        return NOT_REPORTED
    if begun is None:
        _say("this attempt was begun by another process, or is over, and is not run here")
        return NOT_MINE
    log = AttemptLog()
    log.began([] if begun.job is None else [begun.job])
    outcome = _outcome(begun, push_id, holder, open_segue, how, asked)
    if outcome is not None:
        log.ended([outcome])
    else:
        _say("this attempt was given up while it ran, and its outcome does not count")
        return NOT_MINE
    by = f"{begun.executor}@{socket.gethostname()}:{os.getpid()}"
    try:
        is_recorded = reach.act(lambda engine: _report(engine, push_id, outcome, holder, by))
    except Exception as error:  # noqa: BLE001 - the attempt has ended, whatever is wrong with the database
        _say(f"how the attempt ended ({outcome.verdict}) could not be reported: {error}")
        return NOT_REPORTED
    if not is_recorded:
        return NOT_MINE
    return 1 if how.exits_like_task and outcome.verdict not in _GOOD else 0


def _report(engine: Engine, push_id: str, outcome: Outcome, holder: str, by: str) -> bool:
    plans = read_large_plans(engine.store, [outcome], engine.store.now())
    return engine.act(report_push, push_id, outcome, holder=holder, by=by, plans=plans)


def _outcome(
    begun: BegunPush, push_id: str, holder: str, open_segue: OpenSegue, how: How, asked: threading.Event
) -> Outcome | None:
    """How the attempt ended; None if it was given up meanwhile."""
    job = begun.job
    if job is None:
        return begun.failed
    if begun.is_to_end:
        return cancelled(job)
    if asked.is_set():
        return as_lost(released(job))
    os.environ.update(
        SEGUE_PUSH=push_id, SEGUE_RUN=job.run_id, SEGUE_STEP=str(job.step), SEGUE_ATTEMPT=str(job.attempt),
        SEGUE_IDEMPOTENCY_KEY=f"{job.run_id}:{job.step}",
    )  # fmt: skip
    try:
        with open_segue() as segue:
            engine = segue.engine
            pool = process_pool(1, modules=how.modules, store=engine.store, payloads=engine.payloads)
    except Exception as error:  # noqa: BLE001 - the payload store is not what its name says
        return _could_not_run(job, error)
    try:
        pool.start()
        pool.submit([job])
        live = LiveOutput(pool)
        with _Beats(push_id, holder, open_segue, begun.beat_seconds, pool) as beats:
            outcome = _await(pool, job, beats, asked, how.grace_seconds, live)
            if beats.progress is not None and outcome is not None:
                beats.beat()  # the last progress, before the end
        live.finish("" if outcome is None else outcome.output)
        return outcome
    except Exception as error:  # noqa: BLE001 - its module cannot be imported here, or the machine is full
        return _could_not_run(job, error)
    finally:
        pool.kill()


def _await(
    pool: Pool, job: Job, beats: _Beats, asked: threading.Event, grace_seconds: float, live: LiveOutput
) -> Outcome | None:  # fmt: skip
    """How the attempt ended. After a signal it may go on for the grace, unless a cancel was the reason."""
    until: float | None = None
    is_ending = False
    while until is None or time.monotonic() < until:
        for news in pool.collect(_LOOK_SECONDS):
            if isinstance(news, Outcome):
                return as_lost(news) if until is not None and news.verdict is Verdict.RELEASED else news
            beats.progress = news
        live.pump()
        if beats.is_given_up:
            return None
        if beats.is_to_end and not is_ending:
            is_ending = True
            pool.cancel(job.run_id, job.step)
        if asked.is_set() and until is None:
            until = time.monotonic() + grace_seconds
            beats.hurry()  # a cancel of Segue's own comes as a signal, too, and the task should hear of it as such
    return as_lost(next(iter(pool.stop(0.0)), released(job)))


def _could_not_run(job: Job, error: Exception) -> Outcome:
    info = ErrorInfo(type(error).__name__, f"this machine could not run it: {error}")
    return Outcome(job.run_id, job.step, job.attempt, Verdict.FAILED, error=info)


class _Beats:
    """While the block runs, the database hears that this process lives, and says whether it is to end."""

    def __init__(self, push_id: str, holder: str, open_segue: OpenSegue, beat_seconds: float, pool: Pool) -> None:
        self._push_id, self._holder, self._open_segue = push_id, holder, open_segue
        self._beat_seconds = beat_seconds
        self._pool = pool
        self._is_due = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="segue-beats", daemon=True)
        self.progress: Progress | None = None  # the latest
        self.is_to_end = False
        self.is_given_up = False  # a dispatcher has decided how the attempt ended

    def __enter__(self) -> _Beats:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._is_due.set()  # not joined: it may wait for a database that is away

    def hurry(self) -> None:
        """Beat now."""
        self._is_due.set()

    def _run(self) -> None:
        while True:
            self._is_due.wait(self._beat_seconds * (0.8 + 0.4 * chance()))
            self._is_due.clear()
            if self._is_over:
                return
            self.beat()

    def beat(self) -> None:
        """Say it once. A database that is away is asked again with the next beat."""
        progress = self.progress
        try:
            with self._open_segue() as segue:
                said = segue.engine.act(
                    beat_push, self._push_id, holder=self._holder, beat_seconds=self._beat_seconds, progress=progress
                )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - the task goes on
            logger.info("the database did not hear of this attempt, which goes on: %s", error)
            return
        if self.progress is progress:
            self.progress = None
        self.is_given_up, self.is_to_end = not said.is_mine, said.is_to_end
        if self.is_given_up or self.is_to_end:
            self._pool.wake()


class _Reach:
    """Acts that are tried again while the database is away, on a new connection each time."""

    def __init__(self, open_segue: OpenSegue, patience_seconds: float) -> None:
        self._open_segue = open_segue
        self._patience_seconds = patience_seconds

    def act(self, do: Callable[[Engine], T]) -> T:
        """Do it. Raises the last error when the patience is over."""
        until = time.monotonic() + self._patience_seconds
        wait = 0.0
        while True:
            try:
                with self._open_segue() as segue:
                    return do(segue.engine)
            except PASSING_ERRORS as error:
                wait = longer_wait(wait, first_seconds=_FIRST_WAIT_SECONDS, longest_seconds=_LONGEST_WAIT_SECONDS)
                seconds = wait * (0.8 + 0.4 * chance())
                if time.monotonic() + seconds >= until:
                    raise
                logger.warning("the database cannot be reached, trying again: %s", error)
                time.sleep(seconds)


def _say(text: str) -> None:
    sys.stderr.write(f"segue: {text}\n")
