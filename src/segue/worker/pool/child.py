"""A child of the process pool: reads one job, runs it, writes its outcome, and repeats this until it is stopped.

SIGTERM ends it: immediately while it waits, through `Cancelled` raised inside the task while one runs (so that
`finally` blocks still run), and after the result is written in between. It always leaves by `os._exit`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import threading
from functools import partial
from time import monotonic  # by name: a task may replace `time.monotonic`
from types import FrameType
from typing import NoReturn

from segue.attempt.outcomes import arguments_lost
from segue.attempt.runner import run_job
from segue.authoring.context import Cancelled
from segue.engine.transactional import TaskTransactions
from segue.logs.forwarding import LogLine
from segue.model import Outcome, Progress
from segue.store import open_store
from segue.worker.own_signals import handle
from segue.worker.pool import wire
from segue.worker.pool.capture import Capture
from segue.worker.pool.settings import ChildSettings
from segue.worker.pool.surroundings import Surroundings, Trust

TERMINATED_EXIT = 128 + signal.SIGTERM
CLOSED_EXIT = 121  # the task closed the descriptors that connect the child to the worker
_LOOK_SECONDS = 0.25  # how often to check after short attempts; always after one that took _LONG_SECONDS
_LONG_SECONDS = 0.005
_PR_SET_PDEATHSIG = 1


def become_child(zygote_pid: int, jobs: int, news: int, capture: int, settings: ChildSettings) -> NoReturn:
    """Run as a child, in a fresh fork of the zygote, until the process ends."""
    code = 1
    try:
        os.setsid()
        _die_with(zygote_pid)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _reseed()
        stdin = os.open(os.devnull, os.O_RDONLY)
        os.dup2(stdin, 0)
        os.close(stdin)
        child = Child(jobs, news, Capture(capture), settings)
        code = child.serve()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing may return into the zygote's loop
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


class Child:
    """The loop, and the state that the signal handler needs."""

    def __init__(self, jobs: int, news: int, capture: Capture, settings: ChildSettings) -> None:
        self._jobs = socket.socket(fileno=jobs)
        self._news = news
        self._capture = capture
        self._settings = settings
        self._pid = os.getpid()
        self._buffer = bytearray(wire.LARGEST_MESSAGE_BYTES + 1024)
        self._waits = False
        self._runs_task = False
        self._must_end = False
        self._retires = False
        self._took_long = False
        self._looked_at = 0.0
        handle(signal.SIGTERM, self.on_sigterm, in_forks=signal.SIG_DFL)
        self._surroundings = Surroundings()
        self._trust = Trust()
        url = settings.database_url
        self._transactions = None if url is None else TaskTransactions(partial(open_store, url))
        self._payloads = None if settings.payloads is None else settings.payloads.open()
        self._writing = threading.RLock()  # threads of the task may log
        self._main_thread = threading.get_ident()
        self._main_writes = False
        if settings.log_level is not None:
            capture.forward(settings.log_level, self._log, prints=settings.log_prints)

    def serve(self) -> int:
        """Work until stopped. Returns the exit code."""
        view = memoryview(self._buffer)
        while True:
            self._waits = True
            if self._must_end:
                return TERMINATED_EXIT
            length = self._jobs.recv_into(view)
            self._waits = False
            if length == 0 or self._buffer[0] == wire.STOP[0]:
                return 0
            frame = self._attempt(view[:length])
            if os.getpid() != self._pid:
                return 0  # the user's code forked while its result was read, and this is the fork: it must not answer
            try:
                self._write(frame)
                self._look_around()
            except OSError:
                return CLOSED_EXIT

    def on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        """End soon, but never while a frame is being written."""
        self._must_end = True
        if self._main_writes:
            return  # `_write` raises it, behind the frame
        if self._runs_task:
            raise Cancelled
        if self._waits:
            raise SystemExit(TERMINATED_EXIT)

    def _attempt(self, message: memoryview) -> bytes:
        try:
            job = wire.unpack_job(message)
        except OSError as exc:
            spilled = wire.spilled_in(message)
            assert spilled is not None  # any other job is in the message itself
            return wire.pack_outcome(arguments_lost(spilled.run_id, spilled.step, spilled.attempt, exc))
        try:
            self._runs_task = True
            if self._must_end:
                raise Cancelled
            outcome = run_job(
                job, report=self._report, is_cancelled=self._is_to_end,
                result_limit_bytes=self._settings.result_limit_bytes,
                transactions=self._transactions, on_return=self._on_return, payloads=self._payloads,
            )  # fmt: skip
            self._runs_task = False
        except Cancelled:
            raise SystemExit(TERMINATED_EXIT) from None
        self._took_long = outcome.seconds > _LONG_SECONDS
        if self._took_long or self._trust.wants_a_look(job.task):
            self._put_back(job.task)
        self._add_output(outcome)
        return wire.pack_outcome(outcome)

    def _put_back(self, task: str) -> None:
        """Restore the state of the process for the next attempt."""
        was_same = self._surroundings.put_back()
        if self._took_long or not was_same:
            self._trust.lose(task)
        try:
            self._capture.lead_here()
        except OSError:  # the task closed the descriptors; this child cannot continue
            self._must_end = True

    def _is_to_end(self) -> bool:
        return self._must_end

    def _on_return(self) -> str:
        """A transactional task has returned: a SIGTERM waits until its work is committed and reported."""
        self._runs_task = False
        return self._take_output()

    def _add_output(self, outcome: Outcome) -> None:
        outcome.output += self._take_output()

    def _take_output(self) -> str:
        try:
            return self._capture.take()
        except (OSError, ValueError):  # the task closed the descriptors; this child cannot continue
            self._must_end = True
            return ""

    def _report(self, progress: Progress) -> None:
        if os.getpid() == self._pid:
            self._write(wire.pack_progress(progress))

    def _log(self, line: LogLine) -> None:
        self._write(wire.pack_log(line))

    def _write(self, frame: bytes) -> None:
        if threading.get_ident() != self._main_thread:
            with self._writing:
                self._write_whole(frame)
            return
        self._main_writes = True
        try:
            with self._writing:
                self._write_whole(frame)
        finally:
            self._main_writes = False
        if self._must_end and self._runs_task:
            raise Cancelled

    def _write_whole(self, frame: bytes) -> None:
        written = os.write(self._news, frame)
        while written < len(frame):
            frame = frame[written:]
            written = os.write(self._news, frame)

    def _look_around(self) -> None:
        """After a long attempt, and now and then: has this child grown, or changed in a way that it cannot undo?"""
        now = monotonic()
        if self._retires or not (self._took_long or now - self._looked_at >= _LOOK_SECONDS):
            return
        self._looked_at = now
        limit = self._settings.max_rss_mb
        if not self._surroundings.put_back_slowly() or (limit is not None and _rss_mb() > limit):
            self._retires = True
            self._write(wire.pack_retire())


def _rss_mb() -> float:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS, the only one without /proc


def _die_with(zygote_pid: int) -> None:
    """Let the kernel kill this process when the zygote dies (Linux; elsewhere the closed socket ends it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != zygote_pid:
            os._exit(0)


def _reseed() -> None:
    """Python's own generator reseeds itself after a fork; numpy's does not."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
