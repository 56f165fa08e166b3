"""From a canvas to the calls that it makes: Celery's own canvas code runs, and what it would publish is collected.

No rule of a canvas is written down here again. A canvas is applied as ever, but `app.send_task` collects the call and
returns its result object. The result of a call that has not run is a `Pending`, which goes through Celery's merging of
arguments like any other value. Then each call is treated as a worker treats a task that succeeded: its callbacks and
the rest of its chain are applied with its `Pending`, and a chord's body when all members of the header are there.

Nothing is sent, and no result backend is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

from celery._state import _task_stack
from celery.canvas import Signature, group, maybe_signature
from celery.exceptions import NotRegistered
from celery.result import AsyncResult, GroupResult
from celery.utils.functional import arity_greater
from kombu.utils.functional import maybe_list
from kombu.utils.uuid import uuid

NOT_KEPT = frozenset(
    {
        "add_to_parent", "chain", "chord", "connection", "link", "link_error", "producer", "publisher", "result_cls",
        "router", "task_id", "task_type",
    }
)  # fmt: skip
"""Options of `send_task` that are of the caller's process, or that become edges of the plan."""

IMMUTABLE = "is_immutable"
"""Among the options of an error callback that is called inline: it gets its own arguments only."""

_current: ContextVar[Capture | None] = ContextVar("segue_celery_capture", default=None)


class Pending:
    """Stands for the result of a call that has not run yet."""

    __slots__ = ("call",)

    def __init__(self, call: int) -> None:
        self.call = call

    def __copy__(self) -> Pending:
        return self

    def __deepcopy__(self, memo: object) -> Pending:
        return self

    def __repr__(self) -> str:
        return f"<the result of call {self.call}>"


class Call(NamedTuple):
    """One task that the canvas calls. `parents` are the calls whose success calls it."""

    number: int
    id: str
    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]  # what a message needs: queue, priority, expires, group_id, ...
    parents: tuple[int, ...]
    callbacks: list[Any]
    errbacks: list[Any]
    chain: list[Any]
    chord: Any
    is_body: bool  # of a chord
    header: tuple[int, ...]  # of a chord's body: the calls whose failure is the chord's
    on_failure: bool  # called because a parent failed, when all have ended
    is_inline: bool  # called with the request and the exception, by the process that has them
    error: str = ""  # why it cannot be called at all: its arguments do not fit the task


class Capture:
    """The calls of one canvas, while it is applied."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.calls: list[Call] = []
        self.is_outermost = True
        self.is_awaited = False  # the caller gets the result object, and may wait for what is applied
        self._parents: tuple[int, ...] = ()
        self._sizes: dict[str, int] = {}
        self._members: dict[str, list[Call]] = {}
        self._bodies: dict[str, Any] = {}
        self._complete: list[str] = []
        self._applied: set[str] = set()  # Celery, too, applies the body of a chord once if its header is applied twice
        self._launched_by: dict[str, tuple[int, ...]] = {}
        self._structures: dict[str, list[Any]] = {}
        self._watched: dict[str, list[frozenset[int]]] = {}  # by equal error callbacks
        self._is_body = False
        self._header: tuple[int, ...] = ()
        self._on_failure = False

    def add(self, task: str, args: Any, kwargs: Any, options: dict[str, Any]) -> AsyncResult:
        """Collect a call, as `app.send_task` was asked for it, and return its result object."""
        id_ = options.get("task_id") or uuid()
        result_cls = options.get("result_cls") or self.app.AsyncResult
        parent = self.app.current_worker_task if self.is_outermost else None
        if parent is not None:
            request = parent.request
            options = {
                **options,
                "root_id": options.get("root_id") or request.root_id or request.id,
                "parent_id": options.get("parent_id") or request.id,
            }
        kept = {name: value for name, value in options.items() if name not in NOT_KEPT and value is not None}
        self.calls.append(
            Call(
                len(self.calls), id_, task, tuple(args or ()), dict(kwargs or {}), kept, self._parents,
                maybe_list(options.get("link")) or [], maybe_list(options.get("link_error")) or [],
                list(options.get("chain") or []), options.get("chord"), self._is_body,
                self._header, self._on_failure, False,
            )
        )  # fmt: skip
        result = result_cls(id_)
        result.ignored = options.get("ignore_result")
        if parent is not None and options.get("add_to_parent", True):
            parent.add_trail(result)
        return result

    def note_chord_size(self, group_id: str, size: int) -> None:
        """How many members of a header the body waits for, as Celery tells its result backend."""
        if group_id in self._applied:
            return
        self._sizes[group_id] = size
        self._launched_by[group_id] = self._parents
        self._check(group_id)

    def note_header(self, header: tuple[str, Any]) -> None:
        """The results of a header, as they lie in each other."""
        group_id, results = header
        self._structures[group_id] = list(results)

    def follow(self) -> None:
        """Apply what follows from each call, until nothing does."""
        self.is_outermost = False
        number = 0
        with outside_tasks():
            while number < len(self.calls) or self._complete:
                if number < len(self.calls):
                    self._follow(self.calls[number])
                    number += 1
                while self._complete:
                    self._apply_body(self._complete.pop(0))

    def _follow(self, call: Call) -> None:
        """What a worker does when the task succeeds: callbacks, then the chain, then the chord."""
        self._parents = (call.number,)
        if call.is_inline:
            return
        value = (Pending(call.number),)
        options = {"parent_id": call.id, "root_id": call.options.get("root_id") or call.id}
        callbacks = [maybe_signature(each, app=self.app) for each in call.callbacks]
        if len(callbacks) > 1:
            single = [each for each in callbacks if not isinstance(each, group)]
            for each in callbacks:
                if isinstance(each, group):
                    self._apply(each, value, **options)
            if single:
                self._apply(group(single, app=self.app), value, **options)
        elif callbacks:
            self._apply(callbacks[0], value, **options)
        if call.chain:
            following: Signature = maybe_signature(call.chain[-1], app=self.app)
            self._apply(following, value, chain=call.chain[:-1], **options)
        if call.errbacks:
            self._call_errbacks(call)
        group_id = call.options.get("group_id")
        if call.chord is not None and group_id and group_id not in self._applied:
            self._members.setdefault(group_id, []).append(call)
            self._bodies[group_id] = call.chord
            self._check(group_id)

    def _apply(self, work: Signature, args: tuple[Any, ...], **options: Any) -> None:
        """Apply what follows. Where its arguments do not fit its task, it becomes a call that fails when it is due.

        Celery finds that in the worker; the canvas was started by then.
        """
        before = len(self.calls)
        try:
            work.apply_async(args, **options)
        except TypeError as error:
            if len(self.calls) > before:
                raise
            options = {**work.options, **{name: value for name, value in options.items() if value is not None}}
            self.add(str(work.task), (), {}, options)
            self.calls[-1] = self.calls[-1]._replace(error=str(error))

    def _check(self, group_id: str) -> None:
        if group_id in self._members and len(self._members[group_id]) == self._sizes.get(group_id):
            self._complete.append(group_id)

    def _apply_body(self, group_id: str) -> None:
        members = self._members.pop(group_id)
        self._applied.add(group_id)
        body = maybe_signature(self._bodies.pop(group_id), app=self.app)
        self._parents = tuple(member.number for member in members)
        members.sort(key=lambda member: member.options.get("group_index") or 0)
        self._is_body, self._header = not isinstance(body, group), self._calls_up_to(self._launched_by.pop(group_id))
        self._apply(body, (self._value_of(group_id, members),))
        self._is_body, self._header = False, ()

    def _value_of(self, group_id: str, members: list[Call]) -> list[Any]:
        """What the body of a chord gets: the results in the order of the header, nested where groups are in it."""
        numbers = {member.id: member.number for member in members}

        def value(result: Any) -> Any:
            return [value(each) for each in result.results] if isinstance(result, GroupResult) else Pending(
                numbers[result.id]
            )  # fmt: skip

        results = self._structures.pop(group_id, [])
        if any(isinstance(result, GroupResult) for result in results):
            try:
                return [value(result) for result in results]
            except KeyError:  # a result is not a member's own
                pass
        return [Pending(member.number) for member in members]

    def _calls_up_to(self, launched_by: tuple[int, ...]) -> tuple[int, ...]:
        """The calls of a chord's header, whose members are the parents now: all that came of what launched it."""
        found: set[int] = set()
        above = list(self._parents)
        while above:
            number = above.pop()
            if number not in found:
                found.add(number)
                found.update(self.calls[number].header)  # of a chord that is the body of another one
                if self.calls[number].parents != launched_by:
                    above.extend(self.calls[number].parents)
        return tuple(sorted(found))

    def _call_errbacks(self, call: Call) -> None:
        """What Celery does when the task fails, or the header of the chord whose body it is."""
        watched = frozenset({*call.header, call.number})
        self._on_failure = True
        by_id: list[Any] = []
        for each in call.errbacks:
            errback = maybe_signature(each, app=self.app)
            if takes_exception(self.app, errback):
                self._parents = self._not_yet_watched(errback, watched)
                self._add_inline(errback, call)
            else:
                by_id.append(errback)
        for errback in by_id:
            self._parents = self._not_yet_watched(errback, watched)
            self._apply(errback, (call.id,), parent_id=call.id, root_id=call.options.get("root_id") or call.id)
        self._on_failure = False
        self._parents = (call.number,)

    def _not_yet_watched(self, errback: Signature, watched: frozenset[int]) -> tuple[int, ...]:
        """Those of these calls that no equal error callback of a chord inside watches: it is called once for a failure.

        `chord.link_error` links the same callback to the chords of its header.
        """
        key = repr((errback.task, errback.args, errback.kwargs, errback.immutable))
        left = watched
        for before in self._watched.get(key, ()):
            if before < watched:
                left -= before
        self._watched.setdefault(key, []).append(watched)
        return tuple(sorted(left))

    def _add_inline(self, errback: Signature, call: Call) -> None:
        self.calls.append(
            Call(
                len(self.calls), uuid(), errback.task, (call.id, *errback.args), dict(errback.kwargs),
                {IMMUTABLE: True} if errback.immutable else {},
                self._parents, [], [], [], None, False, (), True, True,
            )
        )  # fmt: skip

    def left_chords(self) -> list[str]:
        """The groups whose bodies were not applied: their headers never have that many members."""
        return list(self._members)


def takes_exception(app: Any, errback: Signature) -> bool:
    """Whether Celery calls this error callback with (request, exception, traceback) instead of the task's id."""
    try:
        header = getattr(errback.type, "__header__", None)
        if header is None or isinstance(header, partial):
            return False
        return bool(app.backend._errback_arity_greater(errback, 1))
    except (NotRegistered, AttributeError):  # it is not known here, or this Celery asks more simply
        try:
            return bool(arity_greater(errback.type.__header__, 1))
        except NotRegistered:
            return False


@contextmanager
def outside_tasks() -> Iterator[None]:
    """As if no task ran here: what follows later is not sent by the task that applies the canvas."""
    running = list(_task_stack.stack)
    for _ in running:
        _task_stack.pop()
    try:
        yield
    finally:
        for task in running:
            _task_stack.push(task)


def current_capture() -> Capture | None:
    """The capture that is going on in this context, if one is."""
    return _current.get()


def captured(app: Any, apply: Callable[[], Any], *, is_awaited: bool = False) -> tuple[Capture, Any]:
    """Apply a canvas by `apply`; returns the calls that it makes, and its result object.

    With `is_awaited`, the caller gets the result object: then the backend is told to expect the result.
    """
    capture = Capture(app)
    capture.is_awaited = is_awaited
    token = _current.set(capture)
    try:
        result = apply()
        capture.follow()
    finally:
        _current.reset(token)
    return capture, result


@contextmanager
def uncaptured() -> Iterator[None]:
    """Send for real meanwhile."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)
