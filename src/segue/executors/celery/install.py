"""`install`: all that a project adds to be known to Segue."""

from __future__ import annotations

import functools
from typing import Any, Literal, Protocol

from celery import VERSION, Celery
from celery.canvas import Signature
from celery.utils.functional import head_from_fun
from kombu.exceptions import EncodeError

from segue.authoring.planning import register_planner
from segue.engine.claiming.window import WINDOW
from segue.engine.engine import Engine
from segue.errors import ConfigError, PlanError, Problem, SerializationError
from segue.executors.celery.attempt import RetryAsked, current_attempt
from segue.executors.celery.backend import recording
from segue.executors.celery.beats import beats_step
from segue.executors.celery.calls import NOT_KEPT, member_of
from segue.executors.celery.canvas import make_canvases_durable, take_replacements
from segue.executors.celery.capture import current_capture
from segue.executors.celery.codec import encode_arguments
from segue.executors.celery.door import (
    LEASE_SECONDS,
    LOOK_SECONDS,
    Door,
    Fence,
    Reports,
    door_for,
    find_door,
    put_door,
)  # fmt: skip
from segue.executors.celery.element import CanvasElement
from segue.executors.celery.limited import task_of_segue
from segue.executors.celery.members import add_to_chord_of
from segue.executors.celery.node import node_step
from segue.executors.celery.plans import plan_of_canvas
from segue.executors.celery.publish import SEGUES, header_of
from segue.executors.celery.reports import refuse_backend
from segue.executors.celery.request import halting
from segue.executors.celery.standins import stands_in
from segue.executors.celery.tracer import TracerSlot
from segue.given import finite, is_a, shown
from segue.plan.graph import Plan

OLDEST = (5, 3)
"""The oldest version of Celery whose ways are known here."""


class HasEngine(Protocol):
    """A `segue.Segue`, as far as this package knows it."""

    @property
    def engine(self) -> Engine:
        """Acts on its database."""


def install(
    app: Celery, segue: HasEngine, *, canvas: Literal["durable"] | None = None, name: str = "celery",
    fence: Fence = "suspect", lease_seconds: float = LEASE_SECONDS, priority: Literal["later_first"] | None = None,
    window: int = WINDOW, reports: Reports = "callback", look_seconds: float = LOOK_SECONDS,
) -> Door:  # fmt: skip
    """Connect a Celery app to a Segue database. Nothing is connected to yet; installing again changes nothing.

    With `canvas="durable"`, every chain, group and chord that the project applies goes through Segue.
    `name` is that of the executor: apps with different brokers on one database need different ones.
    `fence` says when a worker asks the database before it runs a task, so that no message that is delivered twice runs
    twice: "always", or only for messages that are "suspect" (delivered again, sent again, or old).
    With `priority="later_first"`, steps further down in their run go first, on Redis and on RabbitMQ, whose queues need
    `x-max-priority`. Priorities that the project sets are left as they are.
    A message that was sent, and that no worker has begun after `lease_seconds`, is sent again.
    About `window` messages of a queue wait in the broker, or 20 for each place of the workers if that is more; further
    steps wait in the database.
    With `reports="polled"`, workers never open the database. They report through the result backend, into which
    `segue scheduler -A` looks every `look_seconds` (see docs/celery.md).
    Raises ConfigError. Example::

        app = Celery("shop", broker="redis://localhost")
        install(app, Segue("postgresql://localhost/shop"))
    """
    _check_parties(app, segue)
    if canvas not in (None, "durable"):
        raise ConfigError(f"install(canvas={shown(canvas)}) is unknown. Leave it out, or give 'durable'.")
    if fence not in ("suspect", "always"):
        raise ConfigError(f"install(fence={shown(fence)}) is unknown. Give 'suspect' or 'always'.")
    if priority not in (None, "later_first"):
        raise ConfigError(f"install(priority={shown(priority)}) is unknown. Leave it out, or give 'later_first'.")
    if not is_a(window, int) or is_a(window, bool) or window < 1:
        raise ConfigError(f"install(window={shown(window)}): give a whole number, 1 or more.")
    if (finite(lease_seconds) or 0) <= 0:
        raise ConfigError(f"install(lease_seconds={shown(lease_seconds)}): give a number of seconds above 0.")
    _check_reports(app, reports, look_seconds, fence)
    if canvas == "durable":
        make_canvases_durable()
    found = find_door(app)
    if found is not None:
        found.is_durable = canvas == "durable"
        found.later_first = priority is not None
        return found
    door = Door(
        app, segue.engine, name=name, fence=fence, lease_seconds=lease_seconds, window=window, reports=reports,
        look_seconds=look_seconds,
    )  # fmt: skip
    door.is_durable = canvas == "durable"
    door.later_first = priority is not None
    put_door(app, door)
    _take_sending(app, door)
    _take_backend(app, door)
    _take_tasks(app, door)
    take_replacements()
    _refuse_other_apps()
    app.steps["worker"].add(node_step(door) if reports == "callback" else beats_step(door))
    return door


def _check_parties(app: object, segue: object) -> None:
    if VERSION < OLDEST:
        this, needed = ".".join(map(str, VERSION[:3])), ".".join(map(str, OLDEST))
        raise ConfigError(f"Segue needs Celery {needed} or newer, and this is {this}. Run pip install -U celery.")
    if not isinstance(app, Celery):
        raise ConfigError(f"install was given {shown(app)}, which is no Celery app. Call install(app, segue).")
    if not isinstance(getattr(segue, "engine", None), Engine):
        raise ConfigError(f"install was given {shown(segue)}, which is no segue.Segue. Call install(app, segue).")


def _check_reports(app: Celery, reports: object, look_seconds: object, fence: str) -> None:
    if reports not in ("callback", "polled"):
        raise ConfigError(f"install(reports={shown(reports)}) is unknown. Leave it out, or give 'polled'.")
    if (finite(look_seconds) or 0) <= 0:
        raise ConfigError(f"install(look_seconds={shown(look_seconds)}): give a number of seconds above 0.")
    if reports != "polled":
        return
    if fence == "always":
        raise ConfigError(
            "install(fence='always', reports='polled'): workers that cannot reach the database cannot ask it before "
            "each task. Leave out one of the two."
        )
    if app.configured:
        refuse_backend(app.conf.result_backend or "disabled")
    else:  # it may be set later: it is looked at again where it is used
        refuse_backend(app._preconf.get("result_backend") or "")


def plan_of(canvas: Signature, *args: Any, **kwargs: Any) -> Plan:
    """The plan of a canvas: a signature, chain, group, chord, and all that Celery makes of them.

    Example::

        segue.start(plan_of(chain(fetch.s(), store.s()), 7))
    """
    plan, _ = plan_of_canvas(door_for(canvas), canvas, args, kwargs)
    return plan


register_planner(lambda work: isinstance(work, Signature), plan_of, member=CanvasElement)


def _take_sending(app: Celery, door: Door) -> None:
    """While a canvas is captured, `send_task` collects; a retry of Segue's own attempt is kept, not sent."""
    send = app.send_task

    def send_task(name: str, args: Any = None, kwargs: Any = None, *more: Any, **options: Any) -> Any:
        capture = current_capture()
        if capture is not None:
            return capture.add(name, args, kwargs, options)
        attempt = current_attempt()
        if attempt is not None and options.get("task_id") == attempt.task_id and options.get("retries"):
            header = header_of({"headers": options.get("headers")})
            # Instrumentation of Celery may nest headers, so that those of the message are not in the request.
            if header is None or header.attempt == attempt.header.attempt:
                try:
                    encode_arguments(tuple(args or ()), kwargs or {}, "an argument of the retry")
                except SerializationError as error:
                    raise EncodeError(str(error)) from error
                attempt.retry = RetryAsked(args, kwargs, {
                    key: value for key, value in options.items() if key not in NOT_KEPT and value is not None
                })  # fmt: skip
                return app.AsyncResult(attempt.task_id)
        member = member_of(options.get("chord"))
        if member is not None:
            return add_to_chord_of(door, member, name, lambda: app.send_task(name, args, kwargs, *more, **options))
        if attempt is not None and attempt.relatives is not None and stands_in(options.get("chain")):
            return attempt.relatives.insert(
                name, options["chain"],
                lambda chain: app.send_task(name, args, kwargs, *more, **{**options, "chain": chain}),
            )  # fmt: skip
        return send(name, args, kwargs, *more, **options)

    app.send_task = send_task


@functools.cache
def _refuse_other_apps() -> None:
    """While a canvas is captured, let a task of another app be an error instead of a message; once."""
    plain = Celery.send_task

    @functools.wraps(plain)
    def send_task(app: Celery, name: str, *args: Any, **options: Any) -> Any:
        capture = current_capture()
        if capture is not None and app is not capture.app:
            remedy = "Start its canvas by itself, or register the task with this app"
            why = f"it is a task of the Celery app {app.main!r}, and the canvas goes through {capture.app.main!r}"
            raise PlanError(name, [Problem(name, why, remedy)])
        return plain(app, name, *args, **options)

    vars(send_task)[SEGUES] = True
    Celery.send_task = send_task


def _take_backend(app: Celery, door: Door) -> None:
    make = app._get_backend

    def get_backend() -> Any:
        return recording(make(), door)

    app._get_backend = get_backend
    if app._backend_cache is not None:
        recording(app._backend_cache, door)


def _take_tasks(app: Celery, door: Door) -> None:
    """Every task's class gets the slot for its tracer: those that are there, and those to come."""
    slot = TracerSlot(door)

    def take(task: Any) -> None:
        kind = type(task)
        made_of = task_of_segue(task)
        if made_of is not None:  # Celery would check arguments by the signature of any call
            kind.__header__ = staticmethod(head_from_fun(made_of.fn))
        if not isinstance(vars(kind).get("__trace__"), TracerSlot):
            kind.__trace__ = slot
            kind.Request = halting(door, kind.Request)

    registry = app._tasks
    kind = type(registry)

    class Registry(kind):  # type: ignore[misc, valid-type]
        def __setitem__(self, name: str, task: Any) -> None:
            take(task)
            super().__setitem__(name, task)

    registry.__class__ = Registry
    for each in list(registry.values()):
        take(each)
