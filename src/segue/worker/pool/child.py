"""A child of the process pool: reads one job, runs it, writes what came of it, until it is told to stop.

SIGTERM ends it: at once while it waits, through `Cancelled` raised inside the task while one runs (so that `finally`
blocks still happen), and after the result is written in between. It leaves by `os._exit`, always.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import time
from functools import partial
from types import FrameType
from typing import NoReturn

from segue.authoring.context import Cancelled
from segue.engine.transactional import TaskTransactions
from segue.model import Outcome, Progress
from segue.store import open_store
from segue.worker.pool import wire
from segue.worker.pool.capture import Capture
from segue.worker.pool.endings import cancelled
from segue.worker.pool.settings import ChildSettings
from segue.worker.runner import run_job

TERMINATED_EXIT = 128 + signal.SIGTERM
CLOSED_EXIT = 121  # the task closed the descriptors by which the child speaks
_RSS_CHECK_SECONDS = 0.25  # after short attempts; after each one that took _LONG_SECONDS
_LONG_SECONDS = 0.005
_PR_SET_PDEATHSIG = 1


def become_child(zygote_pid: int, jobs: int, news: int, capture: int, settings: ChildSettings) -> NoReturn:
    """What a fresh fork of the zygote does for the rest of its life."""
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
        signal.signal(signal.SIGTERM, child.on_sigterm)
        code = child.serve()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing may return into the zygote's loop
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


class Child:
    """The loop, and what the signal handler needs to know of it."""

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
        self._rss_checked_at = 0.0
        url = settings.database_url
        self._transactions = None if url is None else TaskTransactions(partial(open_store, url))

    def serve(self) -> int:
        """Work until told to stop; returns the exit code."""
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
                return 0  # the task forked, and this is the fork: it must not answer, nor take jobs
            try:
                self._write(frame)
                self._check_size()
            except OSError:
                return CLOSED_EXIT

    def on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        """End soon, and never in the middle of a frame."""
        self._must_end = True
        if self._runs_task:
            raise Cancelled
        if self._waits:
            raise SystemExit(TERMINATED_EXIT)

    def _attempt(self, message: memoryview) -> bytes:
        job = wire.unpack_job(message)
        try:
            self._runs_task = True
            if self._must_end:
                raise Cancelled
            outcome = run_job(
                job, report=self._report, result_limit_bytes=self._settings.result_limit_bytes,
                transactions=self._transactions, on_return=self._on_return,
            )  # fmt: skip
            self._runs_task = False
        except Cancelled:
            self._runs_task = False
            if self._must_end:
                raise SystemExit(TERMINATED_EXIT) from None
            outcome = cancelled(job)  # the task's own idea
        self._took_long = outcome.seconds > _LONG_SECONDS
        self._add_output(outcome)
        return wire.pack_outcome(outcome)

    def _on_return(self) -> str:
        """A transactional task has returned: a SIGTERM waits until what it wrote is committed and said."""
        self._runs_task = False
        return self._take_output()

    def _add_output(self, outcome: Outcome) -> None:
        outcome.output += self._take_output()

    def _take_output(self) -> str:
        try:
            return self._capture.take()
        except (OSError, ValueError):  # the task closed its descriptors; this child has no more to offer
            self._must_end = True
            return ""

    def _report(self, progress: Progress) -> None:
        if os.getpid() == self._pid:
            self._write(wire.pack_progress(progress))

    def _write(self, frame: bytes) -> None:
        written = os.write(self._news, frame)
        while written < len(frame):
            frame = frame[written:]
            written = os.write(self._news, frame)

    def _check_size(self) -> None:
        limit = self._settings.max_rss_mb
        if limit is None or self._retires:
            return
        now = time.monotonic()
        if self._took_long or now - self._rss_checked_at >= _RSS_CHECK_SECONDS:
            self._rss_checked_at = now
            if _rss_mb() > limit:
                self._retires = True
                self._write(wire.pack_retire())


def _rss_mb() -> float:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS, the only one without /proc


def _die_with(zygote_pid: int) -> None:
    """Have the kernel kill this process when the zygote dies (Linux; elsewhere the closed socket ends it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != zygote_pid:
            os._exit(0)


def _reseed() -> None:
    """Python's own generator reseeds itself after a fork; numpy's does not."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
