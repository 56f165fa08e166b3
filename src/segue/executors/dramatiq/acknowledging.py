"""Lets a worker thread take its next message while the desk records the success of the last one.

A thread that waits for each commit makes a process record as many ends at once as it has threads, and no more. So a
thread hands in how its attempt ended and goes on. The clerk, one thread in each process, does the rest when that is
recorded: it sends the messages that this thread was to send, and lets Dramatiq acknowledge. Nothing is acknowledged
before it is recorded.

It replaces `post_process_message` of Dramatiq's consumer threads, which is not documented. Where there is none,
threads wait. They also wait when many ends are under way, and with an attempt that failed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

from dramatiq.middleware import Interrupt
from dramatiq.threading import is_gevent_active

from segue.executors.dramatiq.attempt import RunningAttempt
from segue.executors.dramatiq.desk import GRACE_SECONDS, Desk
from segue.executors.dramatiq.reports import Question, Report
from segue.observing.harmless_log import get_logger

logger = get_logger("segue.dramatiq")

FOR_EACH_THREAD = 2
"""Ends under way for each worker thread. Dramatiq receives that many messages before some are acknowledged."""

_LOOK_SECONDS = 0.01


class _Recorded(NamedTuple):
    running: RunningAttempt
    question: Question
    acknowledge: Callable[[], object]


class Clerk:
    """The thread. `send` sends the messages of an answer, and records those that can never be sent."""

    def __init__(self, desk: Desk, *, threads: int, send: Callable[[Desk, Any], object]) -> None:
        self._desk = desk
        self._send = send
        self._most = FOR_EACH_THREAD * threads
        self._under_way: set[Question] = set()
        self._recorded: SimpleQueue[_Recorded | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="segue-dramatiq-clerk", daemon=True)

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, when all is acknowledged that is recorded."""
        self._recorded.put(None)
        if self._thread.is_alive():
            self._thread.join(GRACE_SECONDS)

    def settle(self) -> None:
        """Wait until nothing is under way, or the database is away for too long. The consumers are closed then."""
        end = time.monotonic() + GRACE_SECONDS
        while self._under_way and not self._desk.is_over and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)

    def takes(self, running: RunningAttempt) -> bool:
        """Whether this thread may go on without waiting."""
        return running.returned and len(self._under_way) < self._most and not self._desk.is_ending

    def hand_in(self, running: RunningAttempt, report: Report, acknowledge: Callable[[], object]) -> None:
        """Have an end recorded, and acknowledged after that."""
        question = Question(running.attempt, report, then=lambda each: self._recorded.put(
            _Recorded(running, each, acknowledge)
        ))  # fmt: skip
        self._under_way.add(question)
        self._desk.hand_in(question)

    def _run(self) -> None:
        while (recorded := self._recorded.get()) is not None:
            try:
                self._finish(*recorded)
            except Exception:
                logger.exception(
                    "%s is not acknowledged. It comes again, and is dropped then", recorded.running.message
                )
            finally:
                self._under_way.discard(recorded.question)

    def _finish(self, running: RunningAttempt, question: Question, acknowledge: Callable[[], object]) -> None:
        answer = question.answer
        if isinstance(answer, (bool, Exception)):
            running.leave()  # so that the desk gives it back
            logger.warning("%s is not acknowledged, because its end could not be recorded: %s", running.message, answer)
            return
        self._send(self._desk, answer)
        running.has_recorded()
        acknowledge()


def take_over(thread: Any, clerk: Clerk, report_of: Callable[[RunningAttempt], Report]) -> None:
    """Let the messages of a consumer thread be acknowledged by the clerk, where they are steps that succeeded."""
    plainly = getattr(thread, "post_process_message", None)
    if plainly is None or is_gevent_active():
        return

    def post_process_message(message: Any) -> None:
        running: RunningAttempt | None = vars(message).get("segue_attempt")
        if running is None or message.failed or not clerk.takes(running):
            plainly(message)
            return
        report: Report | None = None
        is_handed_in = False
        while not is_handed_in:
            try:
                if report is None:
                    report = report_of(running)
                clerk.hand_in(running, report, partial(plainly, message))
                is_handed_in = True
            except Interrupt:  # it was meant for the body, which has ended
                continue

    thread.post_process_message = post_process_message
