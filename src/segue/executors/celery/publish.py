"""A step's message: an ordinary message of the user's task, with one header more.

There are two ways to send it, and a worker cannot tell which was taken. The thorough one is `app.send_task`. The quick
one does what that does for a step with ordinary options, through the same `app.amqp`; the arguments, which are stored
as Celery's JSON, go into the body as they are. It is not taken where others may change the message: a receiver of a
signal, an app with a `send_task` of its own, another serializer. Several quick messages are a batch if kombu can do
that, which is one exchange with Redis.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple

from celery import Celery, signals
from celery.app import base
from celery.app.task import extract_exec_options
from kombu.exceptions import OperationalError

from segue.authoring.filling import Fetch, no_store
from segue.engine.dispatch import SentStep
from segue.errors import PayloadUnavailableError, SerializationError
from segue.executors.celery.capture import outside_tasks, uncaptured
from segue.executors.celery.codec import decode_arguments, dumps, loads
from segue.executors.celery.spec import DELAYED, KIN, OURS, options_of, task_id_of
from segue.model import Attempt, Job
from segue.observing.harmless_log import get_logger
from segue.plan.codec import decode_holes, evaluate
from segue.plan.frames import has_frame

logger = get_logger("segue.celery")

HEADER = "segue"
SEGUES = "is_segues"  # an attribute of what stands in the place of `Celery.send_task`
_EMBED = ', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
_JSON = {"content_type": "application/json", "content_encoding": "utf-8"}
_IN_HEADERS = frozenset(
    {
        "group_id", "group_index", "parent_id", "replaced_task_nesting", "retries", "root_id", "shadow",
        "soft_time_limit", "time_limit",
    }
)  # fmt: skip
"""Options that a message has in its headers."""
_WHERE = frozenset({"exchange", "headers", "priority", "queue", "routing_key"})
"""Options that say where it goes, and that routes may change."""
_QUICK = _IN_HEADERS | _WHERE | {"ignore_result", "reply_to", "serializer"}
"""Options that the quick way knows."""


sends_steps: ContextVar[bool] = ContextVar("segue_celery_sends_steps", default=False)
"""Whether what this context sends are messages of steps."""


class StepHeader(NamedTuple):
    """What a message says of the step that it is of."""

    attempt: Attempt
    sent_at: float  # seconds since 1970, by the database's clock
    kin: tuple[int, ...] = ()  # how much stands in the task's request: see standins.py
    holds_places: bool = False  # of limits, which its end gives back


class Letter(NamedTuple):
    """What is to be sent."""

    task: str
    id: str
    arguments: str  # JSON [args, kwargs]
    options: dict[str, Any]  # of `send_task`
    message: Any = None  # for `app.amqp`, if it can be sent quickly
    where: Mapping[str, Any] = MappingProxyType({})


class Publisher:
    """Sends messages of an app. A child of a worker keeps a connection; others take one of the app's pool."""

    def __init__(self, app: Celery, fetch: Fetch = no_store) -> None:
        self._app = app
        self._fetch = fetch
        self._kept: dict[int, Any] = {}  # by process, because children do not share it

    def send(self, steps: Sequence[SentStep], *, is_child: bool = False) -> list[tuple[SentStep, SerializationError]]:
        """Send the messages of these steps; returns those whose arguments cannot be read, which will never be sent.

        Raises what Celery and kombu raise; then it is not known which of them were sent.
        """
        refused: list[tuple[SentStep, SerializationError]] = []
        with uncaptured(), outside_tasks(), _sending_steps():
            is_quick = _may_be_quick(self._app)
            written = (self._written(step, refused, is_quick=is_quick) for step in steps)
            letters = [letter for letter in written if letter is not None]
            if not letters:
                return refused
            with self._producer(is_child=is_child) as producer:
                while letters and not producer.connection.connected:  # how long to try is for `send_task` to say
                    self._send_alone(producer, letters.pop(0))
                quick = [letter for letter in letters if letter.message is not None]
                others = [letter for letter in letters if letter.message is None]
                left = self._send_quick_ones(producer, quick)
                if left:
                    _forget_connection(producer)
                for letter in left + others:
                    self._send_alone(producer, letter)
        return refused

    def _send_quick_ones(self, producer: Any, letters: list[Letter]) -> list[Letter]:
        """Send these; returns those that are to be sent again, by the app's policy, as Celery does with any message.

        When a batch fails, that is all of it: most likely the connection was broken already, so none of it arrived.
        """
        left: list[Letter] = []
        declared: set[str] = set()  # once for all of a batch, which has one connection
        broken = (OperationalError, *producer.connection.connection_errors)
        try:
            with _batch(producer) if len(letters) > 1 else nullcontext():
                for number, letter in enumerate(letters):
                    queue = getattr(letter.where.get("queue"), "name", "")
                    more: dict[str, Any] = {"declare": []} if queue in declared else {}
                    try:
                        self._send_quickly(producer, letter, **more)
                        declared |= {queue} - {""}
                    except broken as error:
                        logger.debug("%s and what follows is sent again at once: %s", letter.task, error)
                        return left + letters[number:]
                    except Exception as error:  # noqa: BLE001 - only this message is at fault, or its queue
                        logger.debug("%s is sent again at once: %s", letter.task, error)
                        left.append(letter)
        except Exception as error:  # noqa: BLE001 - whatever a batch raises when it is sent
            logger.debug("%d messages are sent again at once: %s", len(letters), error)
            return letters
        return left

    def _send_alone(self, producer: Any, letter: Letter) -> None:
        """Send a message by itself. One that cannot be sent does not hold up the others, if the broker is there."""
        try:
            self._send_thoroughly(producer, letter)
        except Exception as error:  # noqa: BLE001 - Celery does not say whether the broker is at fault, or the message
            with self._app.connection_for_write() as connection:
                connection.channel()  # it raises when the broker is away
            _forget_connection(producer)
            logger.error("A message of %s cannot be sent, and is tried again later: %r", letter.task, error)

    def _written(
        self, step: SentStep, refused: list[tuple[SentStep, SerializationError]], *, is_quick: bool
    ) -> Letter | None:
        try:
            letter = letter_of(step, self._fetch)
            return self._addressed(letter) if is_quick else letter
        except PayloadUnavailableError as error:
            logger.warning("The message of %s cannot be written yet. It is tried again. %s", step.job.name, error)
            return None
        except SerializationError as error:
            refused.append((step, error))
            return None
        except Exception:
            logger.exception("The message of %s cannot be written. It is tried again.", step.job.name)
            return None

    def _addressed(self, letter: Letter) -> Letter:
        """With the message that `send_task` would make, if it is ordinary."""
        app, options = self._app, letter.options
        task = app.tasks.get(letter.task)
        is_ordinary = options.keys() <= _QUICK and options.get("serializer", "json") == "json"
        if not is_ordinary or (task is not None and not _names_of_defaults(task) <= options.keys()):
            return letter
        args, kwargs = loads(letter.arguments)
        where = app.amqp.router.route(_of(options, _WHERE), letter.task, args, kwargs, task)
        if not where.keys() <= _WHERE:
            return letter
        message = app.amqp.create_task_message(
            letter.id, letter.task, tuple(args), kwargs, reply_to=options.get("reply_to") or app.thread_oid,
            ignore_result=options.get("ignore_result"), create_sent_event=app.conf.task_send_sent_event,
            **_of(options, _IN_HEADERS),
        )  # fmt: skip
        return letter._replace(message=message._replace(body=letter.arguments[:-1] + _EMBED), where=where)

    @contextmanager
    def _producer(self, *, is_child: bool) -> Iterator[Any]:
        if not is_child:
            with self._app.producer_or_acquire() as producer:
                yield producer
            return
        kept = self._kept.get(os.getpid())
        if kept is None:
            kept = self._app.amqp.Producer(self._app.connection_for_write(), auto_declare=False)
            self._kept = {os.getpid(): kept}
        try:
            yield kept
        except BaseException:
            self._kept = {}  # the next message gets a new connection
            with suppress(Exception):
                kept.connection.release()
            raise

    def _send_thoroughly(self, producer: Any, letter: Letter) -> None:
        args, kwargs = loads(letter.arguments)
        self._app.send_task(
            letter.task,
            tuple(args),
            kwargs,
            task_id=letter.id,
            add_to_parent=False,
            producer=producer,
            **letter.options,
        )

    def _send_quickly(self, producer: Any, letter: Letter, **more: Any) -> None:
        """Send a message once."""
        if not letter.options.get("ignore_result"):
            self._app.backend.on_task_call(producer, letter.id)
        self._app.amqp.send_task_message(
            producer, letter.task, letter.message, retry=False, **more, **_JSON, **letter.where
        )


@contextmanager
def _sending_steps() -> Iterator[None]:
    token = sends_steps.set(True)
    try:
        yield
    finally:
        sends_steps.reset(token)


def letter_of(step: SentStep, fetch: Fetch) -> Letter:
    """The message of a step. It has values that lie in a payload store, as Celery's own messages would."""
    job = step.job
    spec = options_of(step.spec)
    options = {name: value for name, value in spec.items() if name not in OURS}
    if spec.get(DELAYED):
        options["eta"] = step.sent_at
    headers = dict(options.get("headers") or {})
    headers[HEADER] = [job.run_id, job.step, job.attempt, round(step.sent_at.timestamp(), 3)]
    if KIN in spec or step.holds_places:
        headers[HEADER].append(spec[KIN]["counts"] if KIN in spec else [])
    if step.holds_places:
        headers[HEADER].append(1)
    options["headers"] = headers
    _, _, task = job.task.partition(":")
    return Letter(task, task_id_of(step.handle, job.run_id, job.step), _arguments(job, fetch), options)


def _arguments(job: Job, fetch: Fetch) -> str:
    """JSON [args, kwargs] with the results that go into it. One that comes first, as in a chain, is not decoded."""
    if not job.holes and not has_frame(job.args):
        return job.args
    holes = decode_holes(job.holes)
    if len(holes) == 1 and holes[0].where == (0, 0) and job.args.startswith("[[null"):
        text = "[[" + evaluate(holes[0].what, job.values) + job.args.removeprefix("[[null")
        if not has_frame(text):
            return text
    return dumps(list(decode_arguments(job.args, job.holes, job.values, fetch)), f"an argument of {job.name}")


def _of(options: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in names}


def _may_be_quick(app: Celery) -> bool:
    """Whether only Celery has a part in what is sent."""
    return (
        not any(getattr(signal, "receivers", ()) for signal in _signals())
        and app.conf.task_protocol == 2
        and app.conf.task_serializer == "json"
        and not app.conf.task_compression
        and _is_celerys(type(app).send_task)
    )


@functools.cache
def _signals() -> tuple[Any, ...]:
    names = ("before_task_publish", "after_task_publish", "task_sent")
    return tuple(getattr(signals, name) for name in names if hasattr(signals, name))


@functools.lru_cache(maxsize=16)
def _is_celerys(send_task: Callable[..., Any]) -> bool:
    """Whether this is Celery's own method, and no other library has put its own around it. Segue's does not count."""
    while getattr(send_task, SEGUES, False):
        send_task = send_task.__wrapped__  # type: ignore[attr-defined]
    code = getattr(send_task, "__code__", None)
    return code is not None and code.co_filename == base.Celery.__init__.__code__.co_filename


def _names_of_defaults(task: Any) -> set[str]:
    """The options that the task itself sets, which `send_task` adds where they are missing."""
    return {name for name, value in extract_exec_options(task).items() if value is not None}


def _forget_connection(producer: Any) -> None:
    """Let the next message go over a new connection, with a new channel."""
    connection = producer.connection
    connection.collect()
    producer.revive(connection)


def _batch(producer: Any) -> AbstractContextManager[Any]:
    """Several messages at once, where kombu can do that: since 5.7, on Redis."""
    batch = getattr(producer, "batch", None)
    found: AbstractContextManager[Any] = nullcontext() if batch is None else batch()
    return found


def header_of(request: Any) -> StepHeader | None:
    """The step that a task's request is of; None for a task that Segue did not send, or a header that is damaged."""
    found = request.get(HEADER)
    if found is None:  # protocol 1 keeps the headers apart
        found = (request.get("headers") or {}).get(HEADER)
    if not isinstance(found, (list, tuple)) or len(found) < 4:
        return None
    run_id, step, attempt, sent_at, *more = found
    kin, holds_places, *_ = (*more, (), 0)
    numbers = (step, attempt, *(kin if isinstance(kin, (list, tuple)) else ("",)))
    are_numbers = all(isinstance(number, int) for number in numbers) and isinstance(sent_at, (int, float))
    if not isinstance(run_id, str) or not are_numbers:
        return None
    return StepHeader((run_id, step, attempt), sent_at, tuple(kin), bool(holds_places))


def without_header(headers: Any) -> dict[str, Any]:
    """The headers that a message has besides Segue's."""
    return {name: value for name, value in (headers or {}).items() if name != HEADER}
