"""`SegueMiddleware`: all that a project adds to its broker.

The middleware is the first of the list while a worker runs, so its `before_...` hooks come before all others and its
`after_...` hooks after them. It asks before the actor runs, and records what came of it in `before_ack` and
`before_nack`: the only hooks that Dramatiq always calls before it lets go of a message.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import dramatiq
from dramatiq.middleware import Interrupt, Middleware, MiddlewareError, Retries, SkipMessage
from dramatiq.results import Results

from segue.attempt.around import attached_to, entered
from segue.attempt.outcomes import describe
from segue.authoring import foreign
from segue.authoring.context import use
from segue.engine.dispatch import SentStep
from segue.engine.engine import Engine
from segue.errors import ConfigError
from segue.executors.dramatiq import spec
from segue.executors.dramatiq.acknowledging import Clerk, take_over
from segue.executors.dramatiq.attempt import RunningAttempt, current_attempt, set_current
from segue.executors.dramatiq.classify import End, meaning_of
from segue.executors.dramatiq.desk import Desk
from segue.executors.dramatiq.door import Door
from segue.executors.dramatiq.elements import is_composition, is_returnable, planned
from segue.executors.dramatiq.fetching import Fetcher
from segue.executors.dramatiq.publish import fence_of
from segue.executors.dramatiq.reports import NotRecordedError, Report
from segue.executors.dramatiq.results import outcome_of, report_of, times_unknown
from segue.given import finite, is_a, shown
from segue.model import Attempt, Outcome, Verdict
from segue.observing.harmless_log import get_logger

logger = get_logger("segue.dramatiq")

LEASE_SECONDS = 60.0

WINDOW = 600
"""Redis needs about 600 bytes for a message, and a process receives at most twice as many as it has threads."""

OLDEST = (1, 17)
"""The oldest version of Dramatiq whose ways are known here."""

foreign.register(is_composition, planned, is_returned_as_plan=is_returnable)


class HasEngine(Protocol):
    """A `segue.Segue`, as far as this package knows it."""

    @property
    def engine(self) -> Engine:
        """Acts on its database."""


class RetryIsHeldError(MiddlewareError):
    """Instead of the broker, Segue holds the retry of a message. Dramatiq logs it nowhere."""


class EndIsNotRecordedError(MiddlewareError):
    """The message must not be acknowledged: what came of it is not in the database."""


class SegueMiddleware(Middleware):
    """Connects a broker to a Segue database. Nothing is connected to yet.

    `name` is that of the executor: brokers of one database need different ones. A message that was sent, and that no
    worker has begun after `lease_seconds`, is sent again. About `window` messages of a queue wait in the broker;
    further steps wait in the database. Unless `chores` is False, a worker process does the periodic work of the
    database when no other process does. Raises ConfigError. Example::

        broker = RedisBroker(url="redis://localhost")
        broker.add_middleware(SegueMiddleware(Segue("postgresql://localhost/shop")))
    """

    def __init__(
        self, segue: HasEngine, *, name: str = "dramatiq", lease_seconds: float = LEASE_SECONDS, window: int = WINDOW,
        chores: bool = True,
    ) -> None:  # fmt: skip
        if _version() < OLDEST:
            raise ConfigError(
                f"Segue needs Dramatiq {'.'.join(map(str, OLDEST))} or newer, and this is {dramatiq.__version__}. "
                "Run pip install -U dramatiq."
            )
        if not isinstance(getattr(segue, "engine", None), Engine):
            raise ConfigError(f"SegueMiddleware was given {shown(segue)}, which is no segue.Segue.")
        if not is_a(name, str) or not name or ":" in name:
            raise ConfigError(f"SegueMiddleware(name={shown(name)}): give a word without a colon, as in 'dramatiq'.")
        if (finite(lease_seconds) or 0) <= 0:
            raise ConfigError(f"SegueMiddleware(lease_seconds={shown(lease_seconds)}): give seconds above 0.")
        if not is_a(window, int) or is_a(window, bool) or window < 1:
            raise ConfigError(f"SegueMiddleware(window={shown(window)}): give a whole number, 1 or more.")
        self.door = Door(segue.engine, name=name, lease_seconds=lease_seconds, window=window)
        self._chores = chores
        self._desk: Desk | None = None
        self._clerk: Clerk | None = None
        self._workers: list[Any] = []

    # The broker, and the life of a worker -------------------------------------------------------------------------

    def after_declare_actor(self, broker: Any, actor: Any) -> None:
        """Remember the broker. Dramatiq tells it with the first actor or queue."""
        self.door.broker = broker

    def after_declare_queue(self, broker: Any, queue_name: str) -> None:
        """See `after_declare_actor`."""
        self.door.broker = broker

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        """Become the first middleware, and open the desk."""
        self.door.broker = broker
        if broker.middleware[0] is not self:  # a new list, because Dramatiq goes through the old one just now
            broker.middleware = [self, *(each for each in broker.middleware if each is not self)]
        _quieten(broker)
        self._workers.append(worker)
        if self._desk is None:
            self._desk = Desk(
                self.door, concurrency=worker.worker_threads, chores=self._chores, held=lambda: _held(self._workers)
            )
            self._desk.open()
            self.door.fetcher = Fetcher(self._workers)
            self.door.fetcher.open()
            self._clerk = Clerk(self._desk, threads=worker.worker_threads, send=_send)
            self._clerk.open()

    def after_consumer_thread_boot(self, broker: Any, thread: Any) -> None:
        """Let its messages be acknowledged without a thread that waits."""
        if self._clerk is not None:
            take_over(thread, self._clerk, lambda running: self._report(broker, running, is_rejected=False))

    def before_worker_thread_shutdown(self, broker: Any, thread: Any) -> None:
        """Wait until its messages are acknowledged: the consumers are closed after that."""
        if self._clerk is not None:
            self._clerk.settle()

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """From now on nothing is fetched, and an unreachable database is not waited for much longer."""
        if self._desk is not None and self._workers == [worker]:
            fetcher, self.door.fetcher = self.door.fetcher, None
            if fetcher is not None:
                fetcher.close()
            self._desk.ends_soon()

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """Close the desk."""
        self._workers[:] = [each for each in self._workers if each is not worker]
        desk, clerk = self._desk, self._clerk
        if desk is not None and clerk is not None and not self._workers:
            self._desk = self._clerk = None
            desk.close()
            clerk.close()

    # A message ----------------------------------------------------------------------------------------------------

    def before_process_message(self, broker: Any, message: Any) -> None:
        """Ask whether the attempt may begin; if not, the message is dropped, and nothing is stored for it."""
        fence, desk = fence_of(message), self._desk
        if fence is None:
            return
        if desk is None:
            raise SkipMessage("this worker has ended, or was not started by Dramatiq")
        attempt, holds_places = fence
        try:
            running = _begun(desk, attempt, message, holds_places=holds_places)
        except Exception:  # Dramatiq would log it and run the actor
            logger.exception("%s is not run, because it is not known whether it may. It is sent again", message)
            running = None
        if running is None:
            message.options["store_results"] = False  # the result of the attempt that counts stays
            raise SkipMessage("its attempt is not, or no more, the current one of its step")
        message.segue_attempt = running
        set_current(running)
        running.use = use(running.context)
        running.use.__enter__()
        running.span = entered(attached_to(running.context))

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:  # fmt: skip
        """Keep what came of it."""
        running = _attempt_of(message)
        if running is not None:
            running.ended(result, exception)
            _leave(running)

    def after_skip_message(self, broker: Any, message: Any) -> None:
        """Keep that another middleware skipped it."""
        running = _attempt_of(message)
        if running is not None:
            running.ended(None, getattr(message, "_exception", None) or SkipMessage())
            running.skipped = True
            _leave(running)

    def before_ack(self, broker: Any, message: Any) -> None:
        """Record what came of it, before Dramatiq lets go of it."""
        self._record(broker, message, is_rejected=False)

    def before_nack(self, broker: Any, message: Any) -> None:
        """The same."""
        self._record(broker, message, is_rejected=True)

    def after_ack(self, broker: Any, message: Any) -> None:
        """This thread is free."""
        fetcher = self.door.fetcher
        if fetcher is not None:
            fetcher.acknowledged()

    def before_enqueue(self, broker: Any, message: Any, delay: int | None) -> None:
        """Hold the retry of an attempt; and let a copy that an actor sends of its own message be a plain message."""
        running = current_attempt()
        if running is None or message.message_id != running.message.message_id:
            return
        fence = fence_of(message)
        if fence is None or fence[0] != running.attempt:
            return
        if int(message.options.get("retries") or 0) > running.retries:
            running.retry_seconds = max(delay or 0, 0) / 1000
            running.retry_message = message
            raise RetryIsHeldError("Segue holds the retry")
        running.taken_fence = message.options.pop(spec.FENCE)

    def after_enqueue(self, broker: Any, message: Any, delay: int | None) -> None:
        """Give the message of the attempt its fence back, where the copy shares its options."""
        running = current_attempt()
        if running is not None and running.taken_fence is not None:
            running.message.options[spec.FENCE] = running.taken_fence
            running.taken_fence = None

    def _record(self, broker: Any, message: Any, *, is_rejected: bool) -> None:
        """Do it even if an interrupt comes that was meant for the body, which has ended: it would end the thread.

        Invariant: no other exception than EndIsNotRecordedError leaves this. Dramatiq would log it, and acknowledge.
        """
        running, desk = _attempt_of(message), self._desk
        if running is None:
            if is_rejected and desk is not None:
                self._reject(desk, message)
            return
        while not running.is_recorded:
            try:
                _deliver(running.desk, self._report(broker, running, is_rejected=is_rejected))
                running.has_recorded()
            except Interrupt:
                continue
            except EndIsNotRecordedError:
                running.leave()  # so that the desk gives it back
                raise

    def _reject(self, desk: Desk, message: Any) -> None:
        """A message was rejected before it began: this process does not know its actor."""
        fence = fence_of(message)
        if fence is None or message.actor_name in self.door.actors:
            return
        attempt, holds_places = fence
        meaning = meaning_of(End(is_rejected=True, has_begun=False, unknown=times_unknown(self.door, attempt)))
        outcome = Outcome(*attempt, meaning.verdict, error=meaning.error, retryable=False)
        _deliver(desk, report_of(outcome, message, meaning, holds_places=holds_places))

    def _report(self, broker: Any, running: RunningAttempt, *, is_rejected: bool) -> Report:
        try:
            return self._meant(broker, running, is_rejected=is_rejected)
        except Exception as error:
            logger.exception("What came of %s cannot be written", running.message)
            outcome = Outcome(*running.attempt, Verdict.FAILED, error=describe(error), retryable=False)
            return Report(running.attempt, outcome, holds_places=running.holds_places)

    def _meant(self, broker: Any, running: RunningAttempt, *, is_rejected: bool) -> Report:
        meaning = meaning_of(
            End(
                is_rejected=is_rejected, returned=running.returned, skipped=running.skipped, error=running.error,
                retry_seconds=running.retry_seconds, failures=running.retries,
                has_retries=any(isinstance(each, Retries) for each in broker.middleware),
            )
        )  # fmt: skip
        message = running.message if running.retry_message is None else running.retry_message
        outcome = outcome_of(running, meaning)
        return report_of(outcome, message, meaning, holds_places=running.holds_places)


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in dramatiq.__version__.split(".")[:2])


def _begun(desk: Desk, attempt: Attempt, message: Any, *, holds_places: bool) -> RunningAttempt | None:
    """The attempt, if it may begin."""
    running = RunningAttempt(desk, attempt, message, holds_places=holds_places)
    if desk.running.setdefault(attempt, running) is not running:
        return None
    try:
        if desk.begin(attempt):
            return running
    except BaseException:
        running.leave()
        raise
    running.leave()
    logger.info("%s is not run: of run %s, step %s, attempt %s is not to begin", message, *attempt)
    return None


def _attempt_of(message: Any) -> RunningAttempt | None:
    """The attempt that this process runs for a message."""
    found: RunningAttempt | None = vars(message).get("segue_attempt")
    return found


def _leave(running: RunningAttempt) -> None:
    """The body has ended: what this thread does from now on is not the attempt's."""
    span, error, running.span = running.span, running.error, None
    if span is not None:
        span.__exit__(type(error) if error is not None else None, error, None)
    if running.use is not None:
        running.use.__exit__(None, None, None)
        running.use = None
        set_current(None)


def _deliver(desk: Desk, report: Report) -> None:
    """Record an end, and send what this thread is to send then. Raises EndIsNotRecordedError."""
    waiting = [report]
    while waiting:
        try:
            steps = list(desk.report(waiting.pop()))
        except NotRecordedError as error:
            raise EndIsNotRecordedError(f"the end of {report.attempt} could not be recorded: {error}") from error
        waiting += _sent(desk, steps)


def _sent(desk: Desk, steps: Sequence[SentStep]) -> list[Report]:
    """Send messages. Returns what is to be recorded of those that can never be sent."""
    while True:
        try:
            refused = desk.door.publish(list(steps))
        except Interrupt:  # it came too late for the body; of messages that are sent twice, one begins
            continue
        return [Report((each.run_id, each.step, each.attempt), each) for each in refused]


def _send(desk: Desk, steps: Sequence[SentStep]) -> None:
    """Send messages, and record those that can never be sent."""
    for report in _sent(desk, steps):
        _deliver(desk, report)


def _held(workers: list[Any]) -> list[Attempt]:
    """The attempts whose messages wait in this process for a thread."""
    found = []
    for worker in workers:
        with suppress(RuntimeError):  # other threads take from it meanwhile
            for item in list(worker.work_queue.queue):
                fence = fence_of(item[1] if isinstance(item, tuple) else item.message)
                if fence is not None:
                    found.append(fence[0])
    return found


class _Quiet(logging.Filter):
    """Drops what Dramatiq logs of a retry that Segue holds, and of results that Segue keeps."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is logged."""
        if isinstance(record.exc_info, tuple) and isinstance(record.exc_info[1], RetryIsHeldError):
            return False
        return current_attempt() is None or "returned a value that is not None" not in str(record.msg)


_quiet = _Quiet()
_OF_THREADS = ("dramatiq.worker.WorkerThread", "dramatiq.worker._WorkerThread")


def _quieten(broker: Any) -> None:
    loggers = [broker.logger, *(logging.getLogger(name) for name in _OF_THREADS)]
    loggers += [each.logger for each in broker.middleware if isinstance(each, Results)]
    for each in loggers:
        each.addFilter(_quiet)
