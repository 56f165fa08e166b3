"""The follower: it does in one place, beside the database, what Celery workers cannot do that do not reach it.

It is a node without a worker: it sends what is ready, and again what is late. Twice a second it looks into the result
backend for reports of the attempts that are outside (reports.py), and records them as the worker would have. Beats say
which attempts a worker still has: one that runs and of which nothing is heard for a lease is lost.

Any number of followers may run at once: a report that another one has recorded is refused by the engine.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, NamedTuple

from billiard.exceptions import WorkerLostError
from celery import states
from celery.app.task import Context

from segue.engine.engine import Engine
from segue.engine.executing import begin_steps
from segue.errors import PASSING_ERRORS, ConfigError, PlanError, StoreUnavailableError
from segue.executors.celery import node
from segue.executors.celery.attempt import RetryAsked
from segue.executors.celery.beats import COMMAND, beat_seconds, silence_seconds
from segue.executors.celery.door import Door, all_doors, door_of
from segue.executors.celery.errback import Failure, call_errback
from segue.executors.celery.mirror import exception_of
from segue.executors.celery.node import Node
from segue.executors.celery.publish import StepHeader
from segue.executors.celery.repairing import renew
from segue.executors.celery.reports import (
    Beat,
    Report,
    forget,
    read_beats,
    read_reports,
    refuse_backend,
    retry_of,
)  # fmt: skip
from segue.loop.companions import register_companion
from segue.model import WAIT_FOR, Attempt, ErrorInfo, Outcome, StepStatus, Verdict
from segue.observing.harmless_log import get_logger
from segue.plan.codec import decode

logger = get_logger("segue.celery")

RECORDED_AT_ONCE = 100
ASK_AGAIN_SECONDS = 2.0
SHARE = 4  # the pause between two looks is at least so many times as long as a look
AFTER_A_FAULT_SECONDS = 30.0
KEPT_SECONDS = 60.0
"""A report stays for so long, for a worker whose child died when it had reported, and had not stored its result."""


class Outside(NamedTuple):
    """An attempt that is outside: sent, or running there."""

    attempt: Attempt
    handle: str | None
    is_running: bool
    is_to_end: bool


class Follower(Node):
    """The thread, and what it does."""

    def __init__(self, door: Door) -> None:
        super().__init__(door, None)
        self._look_seconds = min(self._look_seconds, door.look_seconds)
        self._silence_seconds = silence_seconds(door)
        self._look_at = 0.0
        self._listen_at = 0.0
        self._heard: dict[Attempt, tuple[Beat | None, float]] = {}  # the last beat, and when it was new
        self._aside: dict[Attempt, float] = {}  # reports that could not be recorded, and when to try again
        self._ask_at = 0.0
        self._to_end_since: dict[Attempt, float] = {}  # attempts that are to end, and since when
        self._kept: deque[tuple[Attempt, bool, float]] = deque()  # recorded: whether it has beats, when to remove it
        self._is_away = False

    def _chores(self, engine: Engine) -> AbstractContextManager[object]:
        return nullcontext()  # they are done by the process that this one is beside

    @property
    def _concurrency(self) -> int:
        return 0

    def _end_asked(self) -> None:
        return None

    def _repair(self) -> None:
        if not self._is_away:  # or what seems to be lost may be reported
            super()._repair()

    def _look(self, now: float) -> None:
        if now < self._look_at:
            return
        if now - self._look_at > self._silence_seconds / 2:
            self._forgive(now)  # this process was asleep, not the workers
        try:
            self._follow(now)
            self._is_away = False
        except StoreUnavailableError as error:
            if not self._is_away:
                logger.warning("Tasks cannot be followed: %s", error)
            self._is_away = True
            self._forgive(now)
        ended = time.monotonic()
        self._look_at = ended + max(self._door.look_seconds, SHARE * (ended - now))

    def _forgive(self, now: float) -> None:
        """Count silence from now on: what was said meanwhile was not heard."""
        self._heard = {attempt: (beat, now) for attempt, (beat, _) in self._heard.items()}

    def _follow(self, now: float) -> None:
        with self._door.engine.reading() as tx:
            rows = tx.all("steps_to_follow", executor=self._door.name)
        outside = {
            each.attempt: each
            for each in (
                Outside((str(run_id), step, number), handle, status == StepStatus.RUNNING, bool(is_to_end))
                for run_id, step, number, handle, status, is_to_end in rows
            )
        }
        self._heard = {attempt: heard for attempt, heard in self._heard.items() if attempt in outside}
        self._aside = {attempt: until for attempt, until in self._aside.items() if attempt in outside and until > now}
        self._forget(now)
        if not outside:
            return
        reports = read_reports(self._door.app.backend, [each for each in outside if each not in self._aside])
        self._record(reports, outside)
        left = {attempt: each for attempt, each in outside.items() if attempt not in reports}
        if now >= self._listen_at:
            self._listen(left)
            self._listen_at = time.monotonic() + beat_seconds(self._door) / 2
        self._ask_to_end([attempt for attempt, each in left.items() if each.is_to_end], now)

    # Reports ------------------------------------------------------------------------------------------------------

    def _record(self, reports: Mapping[Attempt, Report], outside: Mapping[Attempt, Outside]) -> None:
        """Record what is reported: plain successes together, the others one by one."""
        plain: dict[str, list[Report]] = defaultdict(list)
        recorded: list[Attempt] = []
        for attempt, report in reports.items():
            if report.outcome.verdict == Verdict.SUCCEEDED:
                plain[report.by].append(report)
            elif self._try([attempt], lambda: self._take(report, outside[attempt])):  # noqa: B023 - called at once
                recorded.append(attempt)
        for by, found in plain.items():
            for first in range(0, len(found), RECORDED_AT_ONCE):
                recorded += self._take_successes(found[first : first + RECORDED_AT_ONCE], by)
        now = time.monotonic()
        self._kept.extend((attempt, attempt in self._heard, now + KEPT_SECONDS) for attempt in recorded)
        if recorded:
            self._news_at = 0.0  # a retry may have set a timer

    def _take_successes(self, reports: Sequence[Report], by: str) -> list[Attempt]:
        attempts = [_attempt_of(report) for report in reports]
        outcomes, freed = [report.outcome for report in reports], sum(report.freed for report in reports)
        if self._try(attempts, lambda: self._door.exchange(outcomes, freed=freed, by=by)):
            return attempts
        if len(reports) == 1:
            return []
        for attempt in attempts:  # one of them is the reason: the others need not wait
            self._aside.pop(attempt, None)
        return [attempt for report in reports for attempt in self._take_successes([report], by)]

    def _take(self, report: Report, outside: Outside) -> None:
        """Record anything else than a plain success."""
        door, outcome = self._door, report.outcome
        if report.retry is not None:
            header = StepHeader(outside.attempt, 0.0, (), holds_places=bool(report.freed))
            asked = RetryAsked(*retry_of(report))
            door.retry(header, asked, outcome.error or ErrorInfo("Retry", ""), outcome.seconds, by=report.by)
        elif outcome.verdict == Verdict.FAILED:
            self._take_failure(report, outside.handle)
        else:
            if outcome.verdict == Verdict.EXPANDED and (wrong := _wrong_with(door, outcome.result or "")):
                error = ErrorInfo("PlanError", f"The canvas that is to replace the task {wrong}")
                outcome = Outcome(*outside.attempt, Verdict.FAILED, error=error, retryable=False)
            door.exchange([outcome], freed=report.freed, by=report.by)
            if outcome.verdict == Verdict.LOST:
                self._store_loss(outside, outcome.error)

    def _take_failure(self, report: Report, handle: str | None) -> None:
        """Record a failure; then call the error callbacks that want the exception, as the worker would have."""
        door, outcomes = self._door, [report.outcome]
        failure: Failure | None = None
        while outcomes:
            errbacks: list[Any] = []
            door.exchange(outcomes, freed=report.freed, inline=errbacks, by=report.by)
            door.mirror()
            if errbacks and failure is None:
                request = Context(id=handle, errbacks=[], delivery_info={})
                failure = Failure(handle or "", request, exception_of(door, handle, report.outcome.error), None)
            outcomes = [call_errback(door, step, failure) for step in errbacks]

    def _store_loss(self, outside: Outside, error: ErrorInfo | None) -> None:
        """Store the failure of a step that has lost too many workers, for those who wait for its result."""
        if outside.handle is None or not self._door.is_final(outside.attempt):
            return
        try:
            lost = WorkerLostError(error.message if error is not None else "its worker was lost")
            self._door.app.backend.store_result(outside.handle, lost, states.FAILURE)
        except Exception as wrong:  # noqa: BLE001 - the backend is away
            logger.warning("The result of %s cannot be stored: %s", outside.handle, wrong)

    def _try(self, attempts: Sequence[Attempt], act: Any) -> bool:
        """Do this; if that fails for a reason that will not pass, set these reports aside for a while."""
        try:
            act()
            return True
        except PASSING_ERRORS:
            raise
        except Exception:
            logger.exception("The report of %s cannot be recorded. It is tried again.", attempts[0])
            self._aside.update(dict.fromkeys(attempts, time.monotonic() + AFTER_A_FAULT_SECONDS))
            return False

    def _forget(self, now: float) -> None:
        """Remove reports that were recorded a while ago."""
        old: list[Attempt] = []
        with_beats: list[Attempt] = []
        while self._kept and self._kept[0][2] <= now:
            attempt, has_beats, _ = self._kept.popleft()
            old.append(attempt)
            if has_beats:
                with_beats.append(attempt)
        forget(self._door.app.backend, old, with_beats=with_beats)

    # Beats --------------------------------------------------------------------------------------------------------

    def _listen(self, outside: Mapping[Attempt, Outside]) -> None:
        """See which attempts workers have: they are not late. What runs, and is heard of no more, is lost."""
        beats = read_beats(self._door.app.backend, list(outside))
        now = time.monotonic()
        begun: list[Attempt] = []
        held: list[Attempt] = []
        lost: list[Attempt] = []
        for attempt, each in outside.items():
            beat = beats.get(attempt)
            before = self._heard.get(attempt)
            if before is None or (beat is not None and beat != before[0]):
                self._heard[attempt] = beat, now
                if beat is not None and not each.is_running:
                    (begun if beat.is_begun else held).append(attempt)
            elif each.is_running and now - before[1] > self._silence_seconds:
                lost.append(attempt)
        if begun:
            self._door.engine.act(begin_steps, begun)
        if held:
            renew(self._door, held)
        for attempt in lost:
            heard = self._heard[attempt][0]
            who = "Its worker" if heard is None else f"Worker {heard.worker}"
            error = ErrorInfo("WorkerLostError", f"{who} has not been heard of for {self._silence_seconds:g} s")
            self._door.exchange([Outcome(*attempt, Verdict.LOST, error=error)], freed=1)
            self._store_loss(outside[attempt], error)

    def _ask_to_end(self, attempts: Sequence[Attempt], now: float) -> None:
        """Ask all workers, now and then, to end these; those that have not after a while are killed."""
        self._to_end_since = {attempt: self._to_end_since.get(attempt, now) for attempt in attempts}
        news = [attempt for attempt in attempts if self._to_end_since[attempt] == now]
        if not attempts or not (news or now >= self._ask_at):
            return
        self._ask_at = now + ASK_AGAIN_SECONDS
        late = [attempt for attempt in attempts if now - self._to_end_since[attempt] >= node.GRACE_SECONDS]
        early = [attempt for attempt in attempts if now - self._to_end_since[attempt] < node.GRACE_SECONDS]
        try:
            for how, some in (("TERM", early), ("KILL", late)):
                if some:
                    self._door.app.control.broadcast(COMMAND, arguments={"attempts": some, "signal": how})
        except Exception as error:  # noqa: BLE001 - the broker is away, or carries no commands
            logger.warning("Workers cannot be asked to end tasks: %s", error)


def _attempt_of(report: Report) -> Attempt:
    return report.outcome.run_id, report.outcome.step, report.outcome.attempt


def _wrong_with(door: Door, text: str) -> str | None:
    """What is wrong with a plan that a worker reports: a step of it would run elsewhere than in such workers.

    The result backend may be open to more people than the database. They must not start Segue's own tasks through it.
    """
    try:
        nodes = decode(text).nodes
    except PlanError as error:
        return f"cannot be read: {error}"
    for each in nodes:
        is_theirs = each.executor == door.name and each.queue.startswith(f"@{door.name}:")
        if each.task not in (None, WAIT_FOR) and not is_theirs:
            return f"has the step {each.name}, which is no task of {door.name}"
    return None


@contextmanager
def follow(app: Any) -> Iterator[Follower]:
    """Follow the tasks of an app in a thread, as long as the `with` block lasts.

    For apps that were installed with reports="polled", in a process that reaches the database and the result backend.
    `segue scheduler -A` and `segue worker -A` do it by themselves. Raises ConfigError. Example::

        with follow(app):
            serve_forever()
    """
    door = door_of(app)
    if door.reports != "polled":
        raise ConfigError(
            "follow(app) is for apps whose reports are polled. Call install(app, segue, reports='polled'), or leave "
            "follow out: the workers of this app report by themselves."
        )
    with _following(door) as follower:
        yield follower


@contextmanager
def _following(door: Door) -> Iterator[Follower]:
    refuse_backend(door.app.backend)
    follower = Follower(door)
    follower.start()
    try:
        yield follower
    finally:
        follower.stop()


@contextmanager
def _following_all() -> Iterator[None]:
    with ExitStack() as stack:
        for door in all_doors():
            if door.reports == "polled" and not door.is_in_worker:
                stack.enter_context(_following(door))
        yield


register_companion(_following_all)
