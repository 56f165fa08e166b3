"""The desk: a thread in each worker process through which all of its threads speak with the database.

Worker threads may be interrupted at any point by an exception of Dramatiq's (a time limit, a shutdown), so none of them
uses a connection. They hand in what they ask (`begin`) and what came of it (`report`), and wait. The desk answers all
that came in together in one transaction for each kind. It has a row among Segue's workers and renews its lease, which
covers the attempts that it began. It sends steps that became ready elsewhere, sends messages again that may be lost,
interrupts attempts whose runs are being ended, and one of the desks does the chores of the database.

Promises: `begin` says yes only when that is committed. `report` returns only when the end is committed, or was refused
because it came too late; while the database is away, it waits. When the process is to end meanwhile, it raises
`NotRecordedError`, and the message must not be acknowledged.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from dramatiq.middleware import Interrupt

from segue.engine.act import Act
from segue.engine.backoff import longer_wait
from segue.engine.dispatch import Exchanged, SentStep
from segue.engine.executing import hasten, report_progress
from segue.engine.progress import put_progress
from segue.errors import PASSING_ERRORS
from segue.executors.dramatiq.beginning import begin_all, begin_within
from segue.executors.dramatiq.lease import Lease
from segue.executors.dramatiq.repairing import repair
from segue.executors.dramatiq.reports import NotRecordedError, Question, Report
from segue.loop.self_pipe import Wakeup
from segue.loop.wakeups import Wakeups
from segue.model import Attempt, Outcome, Progress
from segue.observing.harmless_log import get_logger
from segue.scheduler.chores import Chores

if TYPE_CHECKING:
    from segue.executors.dramatiq.attempt import RunningAttempt
    from segue.executors.dramatiq.door import Door

logger = get_logger("segue.dramatiq")

NEWS_SECONDS = 1.0  # how often to look for steps to send, if no news comes
NEWS_APART_SECONDS = 0.1  # news that come faster are taken together
SHORTEST_SECONDS = 0.005
GRACE_SECONDS = 10.0  # of a process that is to end while the database is away
SHARE = 8  # messages that a worker thread sends before it takes the next one
SENT_AT_ONCE = 32  # by the desk itself, before it answers again
PROGRESS_SECONDS = 0.5
_LOOK_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 5.0
_MOST_QUIET = 3  # a file in which nothing happens is looked at 2 ** 3 times as seldom


class Desk:
    """The thread, and what it does. `held` tells which messages this process has received and not begun."""

    def __init__(
        self, door: Door, *, concurrency: int, chores: bool = True, held: Callable[[], Sequence[Attempt]] = tuple
    ) -> None:  # fmt: skip
        self.door = door
        self.held = held
        self.running: dict[Attempt, RunningAttempt] = {}
        self._chores = chores
        self._bell = Wakeup()
        self._questions: deque[Question] = deque()
        self._progress: dict[Attempt, Progress] = {}
        self._outbox: deque[SentStep] = deque()
        self.is_ending = False  # the process is to end
        self._away_since: float | None = None  # since when the database does not answer
        self._stop = False
        self._lease = Lease(door, concurrency=concurrency)
        self._beat_at = self._news_at = self._due_at = self._sent_at = self._renew_at = self._progress_at = 0.0
        self._halts_told: tuple[str, int] | None = None
        self._wait_seconds = 0.0
        self._quiet = 0  # how often in a row there was nothing to do
        self._wakeups: Wakeups | None = None
        self._thread = threading.Thread(target=self._run, name="segue-dramatiq", daemon=True)

    # For worker threads -------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def ends_soon(self) -> None:
        """The worker shuts down: what runs may end, and an unreachable database is not waited for much longer."""
        self.is_ending = True

    def close(self) -> None:
        """End, when what is under way is done."""
        self._stop = True
        self._bell.ring()
        if self._thread.is_alive():
            self._thread.join(GRACE_SECONDS)

    def begin(self, attempt: Attempt) -> bool:
        """Whether the attempt may begin; if so, that it did is committed."""
        question = self._ask(Question(attempt, None))
        return question.answer is True

    def report(self, report: Report) -> Sequence[SentStep]:
        """Record an end. Returns messages that the caller is to send. Raises NotRecordedError."""
        question = self._ask(Question(report.attempt, report))
        if isinstance(question.answer, Exception):
            raise NotRecordedError(str(question.answer)) from question.answer
        if isinstance(question.answer, bool):
            raise NotRecordedError("this process ends, and the database is away")
        return question.answer

    def hand_in(self, question: Question) -> None:
        """Ask without waiting: the desk says the answer to the question."""
        self._questions.append(question)
        self._bell.ring()

    def note_progress(self, progress: Progress) -> None:
        """Keep what an attempt reports; it is written soon."""
        self._progress[progress.run_id, progress.step, progress.attempt] = progress
        if len(self._progress) == 1:
            self._bell.ring()

    def _ask(self, question: Question) -> Question:
        """Hand in, and wait. An interrupt that comes meanwhile was meant for the body of the actor, which has ended."""
        is_handed_in = False
        while True:
            try:
                if not is_handed_in:
                    self._questions.append(question)
                    is_handed_in = True
                self._bell.ring()
                while not question.done.wait(_LOOK_SECONDS):
                    if self.is_over:
                        return question
                return question
            except Interrupt:
                continue

    @property
    def is_over(self) -> bool:
        """Whether no answer will come any more."""
        since = self._away_since
        is_late = self.is_ending and since is not None and time.monotonic() - since >= GRACE_SECONDS
        return is_late or not self._thread.is_alive()

    # The thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        engine = self.door.engine
        self._wakeups = Wakeups(engine.store)
        try:
            with Chores(engine) if self._chores else nullcontext():
                while not self._stop or self._questions or self._outbox:
                    try:
                        self._rest()
                        self._round()
                        self._wait_seconds, self._away_since = 0.0, None
                    except PASSING_ERRORS as error:
                        logger.warning("The database cannot be asked: %s", error)
                        self._wait_a_while()
                    except Exception:
                        logger.exception("The desk of executor %s goes on after an error", self.door.name)
                        self._wait_a_while()
                    if self._stop and self._wait_seconds:
                        break
        finally:
            self._wakeups.close()
            with suppress(Exception):
                self._lease.give_back()
            self._bell.close()

    def _wait_a_while(self) -> None:
        self._away_since = self._away_since or time.monotonic()
        self._wait_seconds = longer_wait(self._wait_seconds, first_seconds=0.1, longest_seconds=_LONGEST_WAIT_SECONDS)
        end = time.monotonic() + self._wait_seconds
        while not self._stop and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _rest(self) -> None:
        """Wait until a thread asks, something is due, or there is news."""
        now = time.monotonic()
        wakeups = self._wakeups
        if not (self._questions or self._outbox or self._stop):
            until = min(self._due_at, self._news_at, self._beat_at)
            if self._progress:
                until = min(until, self._progress_at)
            seconds = max(until - now, SHORTEST_SECONDS)
            poll = select.poll()
            poll.register(self._bell.fileno(), select.POLLIN)
            if wakeups is not None:
                if now - self._sent_at >= NEWS_APART_SECONDS:
                    for fd in wakeups.fds:
                        poll.register(fd, select.POLLIN)
                elif wakeups.fds:
                    seconds = min(seconds, NEWS_APART_SECONDS)
                if wakeups.poll_seconds is not None:
                    seconds = min(seconds, wakeups.poll_seconds * 2**self._quiet)
            self._quiet = 0 if poll.poll(max(1, int(seconds * 1000))) else min(self._quiet + 1, _MOST_QUIET)
        self._bell.answer()

    def _round(self) -> None:
        now = time.monotonic()
        if now >= self._beat_at:
            self._beat()
            self._beat_at = now + self._lease.beat_seconds
        self._write_progress(now)
        self._answer()
        self._send_some()
        if not self._outbox and self._is_news(now):
            self._look(now)

    # What threads asked -------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        questions = [self._questions.popleft() for _ in range(len(self._questions))]
        try:
            reports = [question for question in questions if question.report is not None]
            begins = [question for question in questions if question.report is None]
            begun = self._record(reports, begins) if reports else None
            if begins:
                self._begin(begins, begun)
        except BaseException:
            self._questions.extendleft(reversed([each for each in questions if not each.done.is_set()]))
            raise

    def _begin(self, questions: Sequence[Question], plainly: set[Attempt] | None) -> None:
        begun = begin_all(
            self.door.engine, {question.attempt for question in questions}, worker_id=self._lease.worker_id,
            plainly=plainly,
        )  # fmt: skip
        for question in questions:
            may_begin = question.attempt in begun
            begun.discard(question.attempt)  # two copies of one message, in two threads
            question.say(may_begin)

    def _record(self, questions: Sequence[Question], begins: Sequence[Question] = ()) -> set[Attempt] | None:
        """Record ends. Returns which attempts have begun in the same transaction, or None.

        On SQLite a commit waits for the disk and keeps other processes away, so there are as few as can be. On
        PostgreSQL a begin that waits for the locks of runs which it does not need would take longer.
        """
        together = [question.attempt for question in begins]
        if self.door.engine.store.sends_commit_along:
            together = []
        begun = set[Attempt]()

        def begin(act: Act) -> None:
            begun.clear()
            begun.update(begin_within(act, together, worker_id=self._lease.worker_id))

        reports = [question.report for question in questions if question.report is not None]
        try:
            sent = self._recorded(reports, begin if together else None)
        except PASSING_ERRORS:
            for report in reports:
                report.is_repeated = True
            raise
        except Exception as error:
            if len(questions) > 1:  # one of them is at fault: the others must not suffer
                for question in questions:
                    self._record([question])
                return None
            logger.exception("The end of %s cannot be recorded", questions[0].attempt)
            questions[0].say(error)
            return None
        for number, question in enumerate(questions):
            question.say(sent[number :: len(questions)][:SHARE])
        handed = {id(step) for number in range(len(questions)) for step in sent[number :: len(questions)][:SHARE]}
        self._outbox.extend(step for step in sent if id(step) not in handed)
        return begun if together else None

    def _recorded(self, reports: Sequence[Report], also: Callable[[Act], object] | None) -> list[SentStep]:
        """Record these in as few transactions as can be, and take what may be sent now."""
        engine, door = self.door.engine, self.door
        for report in reports:
            report.before(engine, by=door.host)
            if report.again_seconds is not None:
                self._due_at = min(self._due_at, time.monotonic() + report.again_seconds)
        outcomes = [report.outcome for report in reports if report.outcome is not None]
        freed = sum(report.holds_places for report in reports)
        sent: list[SentStep] = []
        taken = self._exchange(outcomes, freed=freed, also=also)
        for report in reports:
            if report.outcome is not None:
                report.is_refused = taken.refused == len(outcomes)
            if report.is_repeated:  # the answer to the first may have been lost, and with it what was to be sent
                engine.act(hasten, report.attempt, executor=door.name)
        sent += taken.sent
        while taken.left:
            taken = self._exchange(taken.left, freed=len(taken.left))
            sent += taken.sent
        if taken.is_full:
            self._due_at = 0.0
        return sent

    def _exchange(
        self, outcomes: list[Outcome], *, freed: int, also: Callable[[Act], object] | None = None
    ) -> Exchanged:  # fmt: skip
        """Report outcomes, and take what may be sent; a process that is to end leaves that to others.

        It would receive the messages itself: Dramatiq stops its threads after it has told actors of the shutdown.
        """
        return self.door.exchange(outcomes, freed=freed, takes=not self.is_ending, also=also)

    def _write_progress(self, now: float) -> None:
        if not self._progress or now < self._progress_at:
            return
        self._progress_at = now + PROGRESS_SECONDS
        for attempt in list(self._progress):
            progress = self._progress.pop(attempt, None)
            if progress is not None and attempt in self.running:
                self.door.engine.act(report_progress, progress, worker_id=self._lease.worker_id)
            elif progress is not None:  # its last, and it has ended
                self.door.engine.act(put_progress, progress)

    def _beat(self) -> None:
        """Renew the lease, and give back attempts that no thread has.

        The answer to their begin was lost, or an interrupt has ended the thread.
        """
        for attempt, running in list(self.running.items()):
            if not running.thread.is_alive():
                self.running.pop(attempt, None)
        asking = {question.attempt for question in list(self._questions)}
        self._lease.renew({*self.running, *asking}, is_ending=self.is_ending)

    # What is done unasked --------------------------------------------------------------------------------------------

    def _send_some(self) -> None:
        """Send a few messages, so that threads do not wait for all of them."""
        steps = [self._outbox.popleft() for _ in range(min(SENT_AT_ONCE, len(self._outbox)))]
        refused = self.door.publish(steps)
        while refused:
            taken = self._exchange(refused, freed=len(refused))
            self._outbox.extend(taken.sent)
            refused = taken.left

    def _is_news(self, now: float) -> bool:
        wakeups = self._wakeups
        if wakeups is None or wakeups.open() or not wakeups.is_open:
            return now >= self._sent_at + NEWS_APART_SECONDS
        if wakeups.woken():
            self._quiet = 0
            return True
        return now >= self._due_at or now >= self._news_at

    def _look(self, now: float) -> None:
        """Take what is ready, and again what is late; and interrupt what is asked to end."""
        self._acknowledge_halts()
        if self.is_ending:
            self._end_asked()
            self._sent_at = now
            self._news_at = self._due_at = now + NEWS_SECONDS
            return
        taken = self.door.exchange([], timers=True)
        self._outbox.extend(taken.sent)
        while taken.left:
            taken = self.door.exchange(taken.left, freed=len(taken.left))._replace(timer_seconds=taken.timer_seconds)
            self._outbox.extend(taken.sent)
        renew_held = now >= self._renew_at
        if renew_held:
            self._renew_at = now + self.door.lease_seconds / 4
        self._outbox.extend(repair(self.door, self.held() if renew_held else ()))
        self._end_asked()
        self._sent_at = time.monotonic()
        self._news_at = self._sent_at + NEWS_SECONDS
        seconds = 0.0 if taken.is_full else taken.timer_seconds
        self._due_at = self._news_at if seconds is None else self._sent_at + seconds

    def _acknowledge_halts(self) -> None:
        """Say that no step of a halted run begins here. That is so, because the desk itself begins them."""
        engine, worker_id = self.door.engine, self._lease.worker_id
        with engine.reading() as tx:
            epoch = next((int(epoch) for (epoch,) in tx.all("halt_epoch", executor=self.door.name)), 0)
        if self._halts_told != (worker_id, epoch):
            with engine.store.transaction() as tx:
                tx.all("acknowledge_halts", worker_id=worker_id, epoch=epoch)
            self._halts_told = worker_id, epoch

    def _end_asked(self) -> None:
        with self.door.engine.reading() as tx:
            rows = tx.all("cancel_requests", worker_id=self._lease.worker_id)
        for run_id, step, number, *_ in rows:
            running = self.running.get((run_id, step, number))
            if running is not None:
                running.ask_to_end()
