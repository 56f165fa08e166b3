"""The door: what one Celery app and one Segue database have to do with each other, in this process."""

from __future__ import annotations

import mmap
import os
import socket
import time
import weakref
from typing import TYPE_CHECKING, Any, Literal

from celery import Celery, states
from celery.utils.time import maybe_iso8601, maybe_make_aware
from msgspec import structs

from segue.engine.claiming.window import WINDOW
from segue.engine.dispatch import Dispatch, Exchanged, Sender, SentStep
from segue.engine.engine import Engine
from segue.engine.executing import Executor, begin_plainly, begin_steps, hasten, retry_changed
from segue.errors import PASSING_ERRORS, ConfigError, SerializationError
from segue.executors.celery.codec import dumps, encode_arguments, loads
from segue.executors.celery.errback import call_errback
from segue.executors.celery.halts import Halts
from segue.executors.celery.mirror import mirror
from segue.executors.celery.publish import Publisher, StepHeader, without_header
from segue.executors.celery.reports import Mailbox, out_of_reach
from segue.executors.celery.spec import ERROR, GENERATED, INLINE, OURS, WATCHES, has, options_of, task_id_of
from segue.executors.long_values import LongValues
from segue.model import Attempt, ErrorInfo, Outcome, StepStatus, Verdict
from segue.observing.harmless_log import get_logger
from segue.plan.namespaces import stored
from segue.store import open_store

if TYPE_CHECKING:
    from segue.executors.celery.attempt import RetryAsked

logger = get_logger("segue.celery")

Fence = Literal["suspect", "always"]
Reports = Literal["callback", "polled"]

AT_ONCE = 500
LEASE_SECONDS = 300.0
LOOK_SECONDS = 0.5
REGISTRATION_SECONDS = 30.0

_doors: weakref.WeakKeyDictionary[Celery, Door] = weakref.WeakKeyDictionary()


class Door:
    """Made by `install`. It may be used by any thread, and by children that were forked."""

    def __init__(
        self, app: Celery, engine: Engine, *, name: str, fence: Fence = "suspect", lease_seconds: float = LEASE_SECONDS,
        window: int = WINDOW, reports: Reports = "callback", look_seconds: float = LOOK_SECONDS,
    ) -> None:  # fmt: skip
        self.app = app
        self.name = name
        self.fence = fence
        self.executor = Executor(name, is_fenced=fence == "always")
        self.lease_seconds = lease_seconds
        self.window = window
        self.reports = reports
        self.look_seconds = look_seconds  # with polled reports: how often the follower looks for them
        self.is_in_worker = False  # this process is one of a Celery worker, and reports are polled
        self.later_first = False  # messages of later steps overtake those of earlier ones
        self.is_durable = False  # every canvas of the app goes through here
        self.shared: mmap.mmap | None = None  # in a worker and its children: the id of the node, and the epoch of halts
        self.halts = Halts(self)
        self.asked_to_end: frozenset[Attempt] = frozenset()  # attempts of this node, as it saw last
        self.with_pool: weakref.WeakValueDictionary[Attempt, Any] = (
            weakref.WeakValueDictionary()
        )  # by request of Celery's
        self.is_prefork = False  # attempts run in children, whose death the main process hears of
        self._mailbox = Mailbox(self)
        self.to_end: dict[Attempt, None] = {}  # in a worker whose reports are polled: what is not to run, latest last
        self.values = LongValues(name, engine.payloads)
        self._publisher = Publisher(app, self.values.fetch)
        self._home = os.getpid()
        self._url, self.namespace = engine.store.url, engine.namespace
        self.of_namespace = stored(self.namespace, f"@{name}")  # how the stored names of its queues begin
        self._engines = {os.getpid(): engine}
        engine.payload_executors.add(name)
        engine.senders[name] = Sender(self._dispatch, self._deliver)

    @property
    def engine(self) -> Engine:
        """The engine of this process: a child that was forked gets its own, with its own connection.

        Raises OutOfReachError in a worker whose reports are polled.
        """
        if self.is_in_worker:
            raise out_of_reach("What was called")
        pid = os.getpid()
        found = self._engines.get(pid)
        if found is None:
            found = Engine(open_store(self._url), namespace=self.namespace, payloads=self.values.payloads)
            self._engines = {pid: found}
        return found

    @property
    def desk(self) -> Door | Mailbox:
        """To what attempts in this process report: to the database, or to the result backend."""
        return self._mailbox if self.is_in_worker else self

    @property
    def host(self) -> str:
        """How this process is called in the records of attempts."""
        return f"{socket.gethostname()}:{os.getpid()}"

    def exchange(
        self, outcomes: list[Outcome], *, freed: int = 0, timers: bool = False, inline: list[SentStep] | None = None,
        by: str = "",
    ) -> Exchanged:  # fmt: skip
        """Report outcomes, and send what may be sent now. Raises StoreError when the database cannot be asked.

        Error callbacks that want the exception are called, and the results of steps that will not run are written.
        With `inline`, the caller does both, when Celery has stored the failure itself; the callbacks are added to it.
        `freed`: how many of these attempts held places of limits. `by`: the process that ran them, if not this one.
        """
        dispatch = self._dispatch()._replace(timers=timers)
        while True:
            taken = self.engine.exchange(outcomes, dispatch=dispatch, by=by or self.host, freed=freed)
            left = taken.left + self.send(taken.sent, inline=inline)
            if inline is None and any(outcome.verdict != Verdict.SUCCEEDED for outcome in outcomes):
                self.mirror()
            if not left and not taken.is_full:
                return taken
            outcomes, freed = left, len(left)

    def _dispatch(self) -> Dispatch:
        prefix = stored(self.namespace, f"@{self.name}:")
        return Dispatch(self.executor, prefix, limit=AT_ONCE, wait_seconds=self.lease_seconds, window=self.window)

    def _deliver(self, taken: Exchanged) -> None:
        left = taken.left + self.send(taken.sent)
        if left or taken.is_full:
            self.exchange(left, freed=len(left))

    def retry(
        self, header: StepHeader, asked: RetryAsked, error: ErrorInfo, seconds: float, *, by: str = ""
    ) -> None:  # fmt: skip
        """Let an attempt be followed by the retry that its task asked for; Segue holds the delay, not a message."""
        options = {**asked.options, "headers": without_header(asked.options.get("headers"))}
        after = self._delay(options)
        args, _ = encode_arguments(tuple(asked.args or ()), asked.kwargs or {}, "an argument of the retry")
        with self.engine.reading() as tx:
            [(_, _, _, spec, _, _)] = tx.all("step_of_executor", run_id=header.attempt[0], step=header.attempt[1])
        options = {name: value for name, value in options.items() if name not in OURS}
        options |= {name: value for name, value in options_of(spec).items() if name in OURS - {WATCHES}}
        outcome = Outcome(*header.attempt, Verdict.FAILED, error=error, seconds=seconds)
        self.engine.act(
            retry_changed, outcome, by=by or self.host, after_seconds=after, args=args,
            spec=dumps(options, "an option of the retry"),
        )  # fmt: skip
        self.exchange([], freed=int(header.holds_places))

    def _delay(self, options: dict[str, Any]) -> float:
        countdown, eta = options.pop("countdown", None), options.pop("eta", None)
        if countdown is not None:
            return max(float(countdown), 0.0)
        if eta is None:
            return 0.0
        due = maybe_make_aware(maybe_iso8601(eta), self.app.timezone)
        seconds: float = (due - self.engine.store.now()).total_seconds()
        return max(seconds, 0.0)

    def asks_before(self, header: StepHeader, request: Any) -> bool:
        """Whether to ask the database before the body runs: always, or if the message may not be the only one.

        A worker whose reports are polled asks the result backend, about what was redelivered.
        """
        if self.fence == "always":
            return True
        delivery = request.get("delivery_info") or {}
        if self.is_in_worker:
            return bool(delivery.get("redelivered"))
        is_late = (self.engine.store.now().timestamp() - header.sent_at) > self.lease_seconds
        return bool(delivery.get("redelivered")) or is_late or header.attempt[2] > 1

    def may_begin(self, header: StepHeader) -> bool:
        """Begin an attempt. False when it is not the step's own any more, its run is paused or being ended, or another
        delivery of its message is running.

        A delivery that came again may take over an attempt of this node: if that was still running here, the main
        process would have turned this one away. Attempts of a lost node are rescued, and sent again.
        """
        node_id = self._known_node_id()
        if node_id is None and self.shared is not None:
            logger.warning(
                "Attempt %s is not begun, because its worker is not registered yet. It is sent again", header
            )
            return False
        if node_id is not None:
            begun = self.engine.act(begin_plainly, header.attempt, worker_id=node_id)
            if begun is not None and begun.rows():
                return True
        return bool(self.engine.act(begin_steps, [header.attempt], worker_id=node_id))

    @property
    def node_id(self) -> str | None:
        """The id of this worker's node among Segue's workers. Children read it from memory that they share."""
        found = self.shared[:36].decode("ascii").strip("\0") if self.shared is not None else ""
        return found or None

    def _known_node_id(self) -> str | None:
        """The same. The database may have been away when the worker started, so it is waited for a while."""
        end = time.monotonic() + REGISTRATION_SECONDS
        while self.shared is not None and self.node_id is None and time.monotonic() < end:
            time.sleep(0.05)
        return self.node_id

    def is_asked_to_end(self, attempt: Attempt) -> bool:
        """Whether an attempt is to end. A child does not hear of it: its process is terminated."""
        return attempt in self.asked_to_end

    def mirror(self) -> None:
        """Write the results of steps that will not run. A node writes later what cannot be written now."""
        try:
            mirror(self)
        except Exception as error:  # noqa: BLE001 - the backend is away, or has no such results
            logger.warning("The results of tasks that will not run cannot be stored yet: %s", error)

    def is_final(self, attempt: Attempt) -> bool:
        """Whether the step of an attempt has ended."""
        with self.engine.reading() as tx:
            rows = tx.all("step_state", run_id=attempt[0], step=attempt[1])
        return not rows or StepStatus(rows[0][0]).is_final

    def result_before_death(self, attempt: Attempt) -> str | None:
        """The result, if the process died after it had recorded it. What it was about to send then is sent soon."""
        run_id, step, number = attempt
        with self.engine.reading() as tx:
            rows = tx.all("step_state", run_id=run_id, step=step)
            if not rows or tuple(rows[0][:2]) != (StepStatus.SUCCEEDED, number):
                return None
            [(_, _, result, *_)] = tx.all("load_results", run_id=run_id, steps=[step])
        self.engine.act(hasten, attempt, executor=self.name)
        return str(result or "null")

    def give_back(self, header: StepHeader) -> None:
        """Let an attempt be sent again that was begun, and is not to be ended here. One that is only sent stays so."""
        with self.engine.reading() as tx:
            rows = tx.all("step_state", run_id=header.attempt[0], step=header.attempt[1])
        if rows and rows[0][0] == StepStatus.RUNNING:
            self.exchange([Outcome(*header.attempt, Verdict.RELEASED)], freed=int(header.holds_places))

    def send(self, steps: list[SentStep], *, inline: list[SentStep] | None = None) -> list[Outcome]:
        """Send messages, and call error callbacks unless they are to be added to `inline`; returns their outcomes.

        A message that cannot be sent now is sent again by a node.
        """
        outcomes: list[Outcome] = []
        messages: list[SentStep] = []
        for step in steps:
            try:
                step = self._with_watched(step)
                outcome = self._outcome_of(step, inline)
            except SerializationError as error:
                outcome = self._refused(step, error)
            if outcome is not None:
                outcomes.append(outcome)
            elif inline is None or not has(step.spec, INLINE):
                messages.append(step)
        if messages:
            try:
                refused = self._publisher.send(messages, is_child=self.is_child)
                outcomes += [self._refused(step, error) for step, error in refused]
            except Exception as error:  # noqa: BLE001 - the broker is away
                logger.warning("%s could not be sent: %s. It is sent again.", messages[0].job.name, error)
        return outcomes

    def _with_watched(self, step: SentStep) -> SentStep:
        """An error callback with the id that the task has which it watches: in a fork that is another one."""
        place = has(step.spec, WATCHES)
        if place is None:
            return step
        run_id, number = step.job.run_id, step.job.step + place
        try:
            with self.engine.reading() as tx:
                [(_, _, _, _, handle, _)] = tx.all("step_of_executor", run_id=run_id, step=number)
        except PASSING_ERRORS:
            return step
        (_, *args), kwargs = loads(step.job.args)
        written = dumps([[task_id_of(handle, run_id, number), *args], kwargs], "an argument of an error callback")
        return step._replace(job=structs.replace(step.job, args=written))

    def _outcome_of(self, step: SentStep, inline: list[SentStep] | None) -> Outcome | None:
        """The outcome of a step for which no message is sent. None: one is, or its callback was added to `inline`."""
        why = has(step.spec, ERROR)
        if why:
            return self._refused(step, TypeError(why))
        if has(step.spec, GENERATED):
            why = "the process that generated the tasks of this canvas has ended before its generator did"
            return self._refused(step, RuntimeError(why))
        if has(step.spec, INLINE):
            if inline is None:
                return call_errback(self, step, None)
            inline.append(step)
        return None

    @property
    def is_child(self) -> bool:
        """Whether this process was forked by a worker, and runs tasks one by one."""
        return self.is_prefork and os.getpid() != self._home

    def _refused(self, step: SentStep, error: Exception) -> Outcome:
        """A step that cannot be sent, or whose arguments cannot be read, fails, and its result says why."""
        attempt = (step.job.run_id, step.job.step, step.job.attempt)
        try:
            self.app.backend.store_result(task_id_of(step.handle, *attempt[:2]), error, states.FAILURE)
        except Exception as wrong:  # noqa: BLE001 - the backend is away, or has no results
            logger.warning("The result of %s cannot be stored: %s", step.job.name, wrong)
        described = ErrorInfo(type(error).__name__, str(error))
        return Outcome(*attempt, Verdict.FAILED, error=described, retryable=False)


def door_for(canvas: Any) -> Door:
    """The door for a canvas; raises ConfigError. An empty one belongs to no app: it goes through the only door."""
    found = find_door(canvas.app)
    if found is None and canvas._app is None and len(_doors) == 1:
        [found] = _doors.values()
    return door_of(canvas.app) if found is None else found


def find_door(app: Any) -> Door | None:
    """The door of an app, or of the app that a proxy stands for; None when none was installed."""
    try:
        return _doors.get(app._get_current_object() if hasattr(app, "_get_current_object") else app)
    except TypeError:  # no app at all
        return None


def door_of(app: Any) -> Door:
    """The same; raises ConfigError when none was installed."""
    found = find_door(app)
    if found is None:
        raise ConfigError(
            f"Celery app {app.main!r} is not connected to Segue. Call "
            "segue.executors.celery.install(app, segue) where the app is made."
        )
    return found


def all_doors() -> list[Door]:
    """The doors of all apps of this process."""
    return list(_doors.values())


def put_door(app: Celery, door: Door) -> None:
    """Remember the door of an app."""
    _doors[app] = door
